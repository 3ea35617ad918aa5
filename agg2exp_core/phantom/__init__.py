"""Synthetic thorax CT: analytic anatomy, deterministic from a seed, for demonstrations and tests.

`patient` says what varies from one to the next, `frame` places the body, `trunk`, `mediastinum`,
`lungs` and `skeleton` fill it with `shapes` on a `canvas`, `render` puts it into the scanner, `cohort`
writes files.
"""

from agg2exp_core.phantom.cohort import write_cohort
from agg2exp_core.phantom.render import Phantom, make_phantom

__all__ = ["Phantom", "make_phantom", "write_cohort"]
