"""Score models on the same scans and compare them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from agg2exp_core.errors import ScanError
from agg2exp_core.figures import to_png, to_svg
from agg2exp_core.figures.dice import dice_figure
from agg2exp_core.models import load_model
from agg2exp_core.training.comparison import differences, report, table_3, to_latex
from agg2exp_core.training.evaluation import measure
from agg2exp_core.training.severity import dice_by_severity, failures_of, report_severity
from tasks.progress import reporting
from tasks.retrying import RETRYING
from tasks.settings import artifact_key
from tasks.train_scoring import of_configuration, of_tree
from tasks.train_settings import CompareSettings


@dataclass(frozen=True)
class Scored:
    """A model's scores, a row per scan and class, and the scans that could not be used, with the reason."""

    scores: pd.DataFrame
    refused: list[ScanError]


@task(name="score", task_run_name="score {name}", **RETRYING)
def score(settings: CompareSettings, name: str, ref: str) -> Scored:
    """Return the scores of a model on the scans of a comparison."""
    model = load_model(ref, settings.device)
    class_names = settings.class_names or model.class_names
    refused: list[ScanError] = []
    with reporting(name, "scores") as show:
        if settings.tree is not None:
            scans = of_tree(model, settings.tree, class_names, show, refused.append)
        else:
            assert settings.config is not None
            scans = of_configuration(model, settings.config, show)
        scores = measure(scans, class_names)
    return Scored(scores.assign(model=name), refused)


@task(name="tabulate models", **RETRYING)
def tabulate(settings: CompareSettings, scored: list[Scored]) -> str:
    """Write the scores, Table 3, its tests and the figure; return the tables as Markdown.

    A scan that a model refuses counts for none. Where the scans are of a tree that tells of planted failures,
    Dice by severity is written too.
    """
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    refused = {error.where: error for one in scored for error in one.refused}
    whole = pd.concat([one.scores for one in scored], ignore_index=True)
    whole = whole[~whole["scan"].isin(refused)]
    table, found = table_3(whole), differences(whole)
    markdown, figure = report(table, found), dice_figure(whole)
    files = {
        "scores.csv": whole.to_csv(index=False).encode(),
        "table3.csv": table.to_csv().encode(),
        "table3.md": markdown.encode(),
        "table3.tex": to_latex(table).encode(),
        "tests.csv": found.to_csv(index=False).encode(),
        "dice.png": to_png(figure),
        "dice.svg": to_svg(figure),
    }
    failures = failures_of(settings.tree) if settings.tree is not None else pd.DataFrame()
    if len(failures):
        by_severity = dice_by_severity(whole, failures)
        text = report_severity(by_severity, failures)
        files |= {"severity.csv": by_severity.to_csv().encode(), "severity.md": text.encode()}
        markdown = f"{markdown}\n{text}"
    for error in refused.values():
        markdown += f"\n- {error.where} was refused: {error.got}"
    for name, content in files.items():
        (out / name).write_bytes(content)
    rows = table.round(4).reset_index().to_dict("records")
    create_table_artifact(key=artifact_key("table-3"), table=rows, description="Mean Dice of the models")
    create_markdown_artifact(key=artifact_key("models"), markdown=f"# Comparison of models\n\n{markdown}")
    return markdown
