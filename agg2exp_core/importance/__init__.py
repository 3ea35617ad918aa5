"""Class-by-region importance matrices: local (one scan, Eq. 7), global (over scans), and as a table.

A reduction is data: `RoiSums` of any block of any scan can be added in any order, whether NumPy hands over
one attribution at a time or Dask the chunks of stored ones.
"""

from agg2exp_core.importance.global_matrix import global_importance, names_of, stack_scans
from agg2exp_core.importance.local_matrix import local_importance, local_importance_from_arrays
from agg2exp_core.importance.matrix_table import to_table
from agg2exp_core.importance.roi_set import RoiSet
from agg2exp_core.importance.sums import RoiSums, StreamedSums

__all__ = [
    "RoiSet",
    "RoiSums",
    "StreamedSums",
    "global_importance",
    "local_importance",
    "local_importance_from_arrays",
    "names_of",
    "stack_scans",
    "to_table",
]
