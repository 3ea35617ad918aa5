"""Findings from matrices: outliers and why, agreement with quality, groups, cohorts, drift, clusters, words.

Every row of a matrix is a composition: `cohort_of` makes it so, and what compares rows does so by ratios of
shares. Nothing depends on the order of the scans; what is random takes a seed. Tables are pandas, matrices
xarray.
"""

from agg2exp_core.analysis.agreement import agreement, detection, risk_coverage, unusual_volume
from agg2exp_core.analysis.clusters import Tree, cluster_classes
from agg2exp_core.analysis.cohort import Cohort, cohort_of
from agg2exp_core.analysis.comparison import Distance, Drift, compare_entries, drift, energy_distance
from agg2exp_core.analysis.context import describe, own_mass
from agg2exp_core.analysis.detectors import DEFAULT_DETECTOR, DETECTORS
from agg2exp_core.analysis.groups import compare_groups
from agg2exp_core.analysis.outliers import OutlierSettings, find_outliers, score_left_out
from agg2exp_core.analysis.published import read_published
from agg2exp_core.analysis.reasons import reasons, training_candidates
from agg2exp_core.analysis.tables import read_dice, read_metadata, read_reports
from agg2exp_core.analysis.words import compare_words

__all__ = [
    "DEFAULT_DETECTOR",
    "DETECTORS",
    "Cohort",
    "Distance",
    "Drift",
    "OutlierSettings",
    "Tree",
    "agreement",
    "cluster_classes",
    "cohort_of",
    "compare_entries",
    "compare_groups",
    "compare_words",
    "describe",
    "detection",
    "drift",
    "energy_distance",
    "find_outliers",
    "own_mass",
    "read_dice",
    "read_metadata",
    "read_published",
    "read_reports",
    "reasons",
    "risk_coverage",
    "score_left_out",
    "training_candidates",
    "unusual_volume",
]
