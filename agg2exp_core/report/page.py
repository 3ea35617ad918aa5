"""The report: one HTML page that needs no server, no network and no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import colour_of, readable
from agg2exp_core.report.content import (
    BACKGROUND,
    ReportFigure,
    ScanLine,
    class_lines,
    flatten,
    heat_rows,
    percent,
)
from agg2exp_core.report.templating import templates_in

if TYPE_CHECKING:
    import jinja2


def render_report(
    *,
    title: str,
    summary: Mapping[str, str],
    global_importance: xr.Dataset,
    local_importance: xr.Dataset,
    figures: Sequence[ReportFigure],
    scans: Sequence[ScanLine],
    provenance: Mapping[str, Any],
) -> str:
    """Return a self-contained HTML page for radiologists.

    Parameters
    ----------
    title : str
    summary : mapping of str to str
        A few facts for the head of the page, such as model and method.
    global_importance : Dataset, dims (target, roi)
        Of the variable ``mass``; ``mean`` is shown.
    local_importance : Dataset, dims (scan, target, roi), or (target, roi) for one scan
        With the variable ``mass``.
    figures : sequence of ReportFigure
        Shown in this order.
    scans : sequence of ScanLine
        Every scan of the run; those with a reason come first.
    provenance : mapping
        Versions, settings, identities; may be nested.

    Returns
    -------
    str
        HTML, UTF-8, with inline style and pictures; all text is escaped.

    Raises
    ------
    UsageError
        If ``mean`` or ``mass`` is missing, or jinja2 is not installed.
    """
    for data, variable, name in (
        (global_importance, "mean", "global_importance"),
        (local_importance, "mass", "local_importance"),
    ):
        if variable not in data:
            raise UsageError(
                name,
                got=f"variables {sorted(map(str, data.data_vars))}",
                allowed=f"a data set with {variable!r}",
                remedy="pass the importance data sets as they are",
            )
    mean = global_importance["mean"].transpose("target", "roi")
    local = local_importance if "scan" in local_importance.dims else local_importance.expand_dims("scan")
    lines = class_lines(mean, local)
    explained = [line for line in lines if line.n_scans and line.others]
    return _template().render(
        title=title,
        summary=summary,
        rois=[str(name) for name in mean["roi"].values],
        rows=heat_rows(mean),
        classes=lines,
        example=max(explained, key=lambda line: line.n_scans, default=None),
        figures=figures,
        scans=sorted(scans, key=lambda scan: not scan.reason),
        n_failed=sum(bool(scan.reason) for scan in scans),
        provenance=list(flatten(provenance)),
    )


def _template() -> jinja2.Template:
    environment = templates_in(".")
    environment.filters.update(
        readable=readable,
        percent=percent,
        colour=colour_of,
        base64=lambda data: base64.b64encode(data).decode("ascii"),
    )
    environment.globals["background"] = BACKGROUND
    return environment.get_template("page.html")
