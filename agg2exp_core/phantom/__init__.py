"""Synthetic thorax CT: analytic anatomy, deterministic from a seed, for demonstrations and tests.

`patient` says what varies from one to the next, `frame` places the body, `trunk`, `mediastinum`,
`lungs` and `skeleton` fill it with `shapes` on a `canvas`, `render` puts it into the scanner. A `case`
adds `pathology` or one of the `failures`; `cohorts` are written as files.
"""

from agg2exp_core.phantom.case import FAILURES, PATHOLOGIES, Phantom, PhantomCase
from agg2exp_core.phantom.cohorts import COHORTS, Member, members, write_cohort, write_tree
from agg2exp_core.phantom.render import make_phantom

__all__ = [
    "COHORTS",
    "FAILURES",
    "PATHOLOGIES",
    "Member",
    "Phantom",
    "PhantomCase",
    "make_phantom",
    "members",
    "write_cohort",
    "write_tree",
]
