"""Results for people to read: a page that needs no server, and a table for the terminal.

`render_report` needs the extra ``report`` (jinja2); `matrix_table` does not.
"""

from agg2exp_core.report.content import ReportFigure, ScanLine
from agg2exp_core.report.page import render_report
from agg2exp_core.report.table import matrix_table

__all__ = ["ReportFigure", "ScanLine", "matrix_table", "render_report"]
