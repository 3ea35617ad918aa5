"""Trainings and comparisons of models as tasks: named, tried again, with curves and tables in the UI."""

from __future__ import annotations

import base64
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from agg2exp.tasks.artifacts import artifact_key
from agg2exp.tasks.progress import reporting
from agg2exp.tasks.retrying import RETRYING
from agg2exp_core.training import comparison, scoring
from agg2exp_core.training.fitting import TrainingResult, fit_network
from agg2exp_core.training.settings import CompareSettings, PretrainSettings, TrainSettings


@task(name="fit", task_run_name="fit {settings.config.name}", **RETRYING)
def fit(settings: TrainSettings | PretrainSettings) -> TrainingResult:
    """Train, or go on with what was interrupted; show the curves in the UI."""
    name, n_steps = settings.config.name, settings.config.training.n_steps
    with reporting(name, "training") as progress:
        result = fit_network(settings, lambda step, loss: progress(step, n_steps))
    create_table_artifact(
        key=artifact_key("curves", name), table=result.rows, description=f"Curves of {name}"
    )
    picture = base64.b64encode((Path(settings.out) / "curves.png").read_bytes()).decode()
    create_markdown_artifact(
        key=artifact_key("training", name),
        markdown=f"# {name}\n\n{result.summary}\n\n![curves](data:image/png;base64,{picture})",
    )
    return result


@task(name="score", task_run_name="score {name}", **RETRYING)
def score_model(settings: CompareSettings, name: str, ref: str) -> scoring.ModelScores:
    """Return the scores of a model on the scans of a comparison."""
    with reporting(name, "scores") as progress:
        return scoring.score_model(settings, name, ref, progress)


@task(name="tabulate models", **RETRYING)
def tabulate_scores(settings: CompareSettings, scored: list[scoring.ModelScores]) -> str:
    """Write the tables, tests and figure of the scores; return the tables as Markdown, and show them."""
    compared = comparison.tabulate_scores(settings, scored)
    table = compared.table.round(4).reset_index()
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    create_table_artifact(key=artifact_key("table-3"), table=rows, description="Mean Dice of the models")
    text = f"# Comparison of models\n\n{compared.markdown}"
    create_markdown_artifact(key=artifact_key("models"), markdown=text)
    return compared.markdown
