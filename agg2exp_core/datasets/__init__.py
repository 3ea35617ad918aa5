"""Cohorts as they are handed out: TotalSegmentator's tree of folders, MONAI's datalists."""

from agg2exp_core.datasets.datalists import SPLITS, read_datalist, write_datalist
from agg2exp_core.datasets.totalsegmentator import Case, find_cases, merge_labels, missing_classes

__all__ = [
    "SPLITS",
    "Case",
    "find_cases",
    "merge_labels",
    "missing_classes",
    "read_datalist",
    "write_datalist",
]
