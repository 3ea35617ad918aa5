"""Findings from matrices: outliers, cohorts, agreement with quality."""
