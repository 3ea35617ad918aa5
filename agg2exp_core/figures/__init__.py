"""Pictures of what a model looked at.

Every function returns a matplotlib figure of its own, made without pyplot's global state, so that
any thread may draw; `to_png` and `to_svg` turn it into bytes. Matrices come as xarray objects with
the axes ``target`` (the explained class) and ``roi`` (where its attribution lies).
"""

from agg2exp_core.errors import UsageError

try:
    from agg2exp_core.figures.canvas import to_png, to_svg
    from agg2exp_core.figures.contributions import contribution_graph
    from agg2exp_core.figures.distributions import distributions
    from agg2exp_core.figures.graph import semantic_graph
    from agg2exp_core.figures.heat_map import heat_map
    from agg2exp_core.figures.overlay import overlay
except ModuleNotFoundError as missing:
    raise UsageError(
        "figures",
        got=f"no module {missing.name}",
        allowed="an installation with the extra 'report'",
        remedy="run: pip install 'agg2exp[report]'",
    ) from missing

__all__ = [
    "contribution_graph",
    "distributions",
    "heat_map",
    "overlay",
    "semantic_graph",
    "to_png",
    "to_svg",
]
