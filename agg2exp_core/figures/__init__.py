"""Pictures of what a model looked at.

Every function returns a matplotlib figure of its own, made without pyplot's global state, so that
any thread may draw; `to_png` and `to_svg` turn it into bytes. Matrices come as xarray objects with
the axes ``target`` (the explained class) and ``roi`` (where its attribution lies).
"""

from agg2exp_core.errors import UsageError

try:
    from agg2exp_core.figures.atlas import atlas
    from agg2exp_core.figures.context import context_figure
    from agg2exp_core.figures.contributions import contribution_graph
    from agg2exp_core.figures.dark import darken
    from agg2exp_core.figures.dendrogram import dendrogram_figure
    from agg2exp_core.figures.distributions import distributions
    from agg2exp_core.figures.graph import semantic_graph
    from agg2exp_core.figures.heat_map import heat_map
    from agg2exp_core.figures.overlay import overlay
    from agg2exp_core.figures.panels import four_panels
    from agg2exp_core.figures.planes import Cut, cut
    from agg2exp_core.figures.quality import quality_figure
    from agg2exp_core.figures.style import signed, to_pdf, to_png, to_svg
except ModuleNotFoundError as missing:
    raise UsageError(
        "figures",
        got=f"no module {missing.name}",
        allowed="an installation with the extra 'report'",
        remedy="run: pip install 'agg2exp[report]'",
    ) from missing

__all__ = [
    "Cut",
    "atlas",
    "context_figure",
    "contribution_graph",
    "cut",
    "darken",
    "dendrogram_figure",
    "distributions",
    "four_panels",
    "heat_map",
    "overlay",
    "quality_figure",
    "semantic_graph",
    "signed",
    "to_pdf",
    "to_png",
    "to_svg",
]
