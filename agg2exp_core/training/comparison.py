"""Models compared on the same scans: what can be, and the tables, tests and figure of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from agg2exp_core.datasets import find_cases
from agg2exp_core.errors import UsageError
from agg2exp_core.figures import to_png, to_svg
from agg2exp_core.figures.score_figures import dice_figure
from agg2exp_core.files import whole_file
from agg2exp_core.models import load_model
from agg2exp_core.training.config import TrainingConfig, read_config
from agg2exp_core.training.scoring import ModelScores
from agg2exp_core.training.settings import CompareSettings
from agg2exp_core.training.severity import dice_by_severity, failures_of, severity_markdown
from agg2exp_core.training.table3 import significance_tests, table3_latex, table3_markdown, table_3
from agg2exp_core.types import SegmentationModel


def check_comparison(
    refs: Sequence[str], out: str, config: str | None = None, tree: str | None = None, device: str = "auto"
) -> CompareSettings:
    """Return the settings of a comparison whose models can be compared.

    Raises
    ------
    UsageError
        If there are fewer than two, two have one name, their classes are not those of each other or of the
        configuration, its preprocessing is not theirs, or it is not said which scans.
    """
    if (config is None) == (tree is None):
        raise UsageError(
            "--config, --tree",
            got="both" if config else "neither",
            allowed="one of them: the test scans of a configuration, or of a tree",
            remedy="name one",
        )
    if tree is not None:
        find_cases(tree)
    models = {ref: load_model(ref, device) for ref in refs}
    named = {model.name: ref for ref, model in models.items()}
    if len(named) < max(2, len(refs)):
        raise UsageError(
            "models",
            got=f"the names {', '.join(named)}",
            allowed="two models or more with different names",
            remedy="name others, or change `name` in their model.yaml",
        )
    first = next(iter(models.values()))
    told = None if config is None else read_config(config)
    classes, whose = (first.class_names, first.name) if told is None else (told.class_names, told.name)
    for ref, model in models.items():
        if sorted(model.class_names) != sorted(classes):
            raise UsageError(
                ref,
                got=f"{model.name} with other classes",
                allowed=f"those of {whose}: {', '.join(classes)}",
                remedy="name models that segment the same",
            )
        if told is not None and not _same_images(model, told):
            raise UsageError(
                ref,
                got=f"{model.name} with other preprocessing or another order of classes",
                allowed=f"those of {whose}",
                remedy="score on the scans of a --tree, which any model preprocesses in its own way",
            )
    return CompareSettings(
        models=named, out=out, class_names=list(classes), config=config, tree=tree, device=device
    )


def _same_images(model: SegmentationModel, config: TrainingConfig) -> bool:
    """Say whether the images and labels of a configuration are those of a model."""
    wanted = config.preprocessing.build()
    same = dict(model.preprocessing.describe()) == dict(wanted.describe())
    return same and model.class_names == config.class_names


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """What a comparison came to.

    Parameters
    ----------
    table : DataFrame
        Table 3, a row per model.
    markdown : str
        All tables and tests, and the scans that were refused.
    """

    table: pd.DataFrame
    markdown: str


def tabulate_scores(settings: CompareSettings, scored: Sequence[ModelScores]) -> ModelComparison:
    """Write the scores of models, Table 3, its tests and the figure.

    A scan that a model refuses counts for none. Where the scans are of a tree that tells of planted failures,
    Dice by severity is written too.
    """
    refused = {error.where: error for one in scored for error in one.refused}
    scores = pd.concat([one.scores for one in scored], ignore_index=True)
    scores = scores[~scores["scan"].isin(refused)]
    table, tests = table_3(scores), significance_tests(scores)
    markdown, figure = table3_markdown(table, tests), dice_figure(scores)
    files: dict[str, str | bytes] = {
        "scores.csv": scores.to_csv(index=False),
        "table3.csv": table.to_csv(),
        "table3.md": markdown,
        "table3.tex": table3_latex(table),
        "tests.csv": tests.to_csv(index=False),
        "dice.png": to_png(figure),
        "dice.svg": to_svg(figure),
    }
    failures = failures_of(settings.tree) if settings.tree is not None else pd.DataFrame()
    if len(failures):
        by_severity = dice_by_severity(scores, failures)
        text = severity_markdown(by_severity, failures)
        files |= {"severity.csv": by_severity.to_csv(), "severity.md": text}
        markdown = f"{markdown}\n{text}"
    for error in refused.values():
        markdown += f"\n- {error.where} was refused: {error.got}"
    for name, content in files.items():
        with whole_file(Path(settings.out) / name, make_folder=True) as partial:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
    return ModelComparison(table, markdown)
