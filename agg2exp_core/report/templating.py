"""The template environment that pages of the report share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agg2exp_core.errors import UsageError

if TYPE_CHECKING:
    import jinja2


def templates_in(folder: str) -> jinja2.Environment:
    """Return an environment for the templates in a folder of this package: escaped, strict about names.

    Raises
    ------
    UsageError
        If jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as missing:
        raise UsageError(
            "report",
            got=f"no module {missing.name}",
            allowed="an installation with the extra 'report'",
            remedy="run: pip install 'agg2exp[report]'",
        ) from missing
    return jinja2.Environment(
        loader=jinja2.PackageLoader("agg2exp_core.report", folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
