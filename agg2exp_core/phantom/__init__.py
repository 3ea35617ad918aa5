"""Synthetic thorax CT: analytic anatomy, deterministic from a seed, for demonstrations and tests.

`patient` says what varies from one to the next, `frame` places the body, `trunk`, `mediastinum`,
`lungs` and `skeleton` fill it with `shapes` on a `canvas`, `render` puts it into the scanner, `cohort`
writes files. A `case` adds `pathology` or one of the `failures`; named `cohorts` are made of cases.
"""

from agg2exp_core.phantom.case import FAILURES, PATHOLOGIES, Case
from agg2exp_core.phantom.cohort import write_cohort
from agg2exp_core.phantom.cohorts import COHORTS, Member, members, write_tree
from agg2exp_core.phantom.render import make_phantom
from agg2exp_core.phantom.types import Phantom

__all__ = [
    "COHORTS",
    "FAILURES",
    "PATHOLOGIES",
    "Case",
    "Member",
    "Phantom",
    "make_phantom",
    "members",
    "write_cohort",
    "write_tree",
]
