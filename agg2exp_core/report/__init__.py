"""Results for people to read: a report of pages that need no server, and a table for the terminal.

`inputs` takes from a store what pages show, sections and charts are plain data before any HTML, `output`
renders and writes them into a folder or into the store itself.
"""

from agg2exp_core.errors import UsageError

try:
    from agg2exp_core.report.cohort_page import publish_report, write_report
    from agg2exp_core.report.table import matrix_table
except ModuleNotFoundError as missing:
    raise UsageError(
        "report",
        got=f"no module {missing.name}",
        allowed="an installation with the extra 'report'",
        remedy="run: pip install 'agg2exp[report]'",
    ) from missing

__all__ = ["matrix_table", "publish_report", "write_report"]
