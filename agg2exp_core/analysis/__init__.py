"""Findings from matrices: outliers and why, agreement with quality, groups, cohorts, drift, clusters, terms.

Every row of a matrix is a composition: `cohort_of` makes it so, and what compares rows does so by ratios of
shares. Nothing depends on the order of the scans; what is random takes a seed. Tables are pandas, matrices
xarray.
"""

from agg2exp_core.analysis.agreement import unusual_composition, unusual_volume
from agg2exp_core.analysis.cohort import Cohort, check_alike, cohort_of
from agg2exp_core.analysis.detectors import DEFAULT_DETECTOR, DETECTORS
from agg2exp_core.analysis.drift import Watch
from agg2exp_core.analysis.findings import AnalysisSettings, Evidence, Findings, analyse
from agg2exp_core.analysis.outliers import OutlierSettings
from agg2exp_core.analysis.published import read_published
from agg2exp_core.analysis.tables import read_dice, read_metadata, read_reports

__all__ = [
    "DEFAULT_DETECTOR",
    "DETECTORS",
    "AnalysisSettings",
    "Cohort",
    "Evidence",
    "Findings",
    "OutlierSettings",
    "Watch",
    "analyse",
    "check_alike",
    "cohort_of",
    "read_dice",
    "read_metadata",
    "read_published",
    "read_reports",
    "unusual_composition",
    "unusual_volume",
]
