"""The command `reduce`."""

from __future__ import annotations

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, Given, State, with_options
from agg2exp_core.pipeline.settings import ReduceSettings

app = command_app()


@app.command()
@with_options(ReduceSettings, arguments=["store"])
def reduce(given: Given, state: State = None, debug: Debug = False) -> int:
    """Make the matrices again from stored attributions, for instance with new regions."""
    settings = given.make(ReduceSettings)
    from agg2exp_cli.running import carry_out, print_summary, served
    from agg2exp_core.pipeline.lookup import labels_of, require_rois
    from agg2exp_core.store import open_store

    labels_of(settings.store, settings.labels)
    require_rois(open_store(settings.store), settings.drop_rois or [])
    with served(state):
        from agg2exp.flows.reduce import reduce as flow

        summaries = carry_out(flow, settings)
    return max(print_summary(summary) for summary in summaries)
