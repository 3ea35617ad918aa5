"""Cohorts as they are handed out: TotalSegmentator's tree of folders, MONAI's datalists."""

from agg2exp_core.datasets.datalists import SPLITS, read_datalist, write_datalist
from agg2exp_core.datasets.totalsegmentator import Case, absent_classes, find_cases, merge_labels

__all__ = [
    "SPLITS",
    "Case",
    "absent_classes",
    "find_cases",
    "merge_labels",
    "read_datalist",
    "write_datalist",
]
