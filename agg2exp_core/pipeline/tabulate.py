"""All scores of a store as one table, its summary, its ranking, its pictures."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from agg2exp_core.figures import darken, to_png, to_svg
from agg2exp_core.figures.score_figures import benchmark_figure
from agg2exp_core.metrics.notes import options_note, reference_note, sampling_note
from agg2exp_core.metrics.ranking import LEGEND, rank_rois, ranking_to_texts, variants_to_texts
from agg2exp_core.metrics.table import (
    COLUMNS,
    classes_to_markdown,
    scores_by_class,
    summarise,
    to_latex,
    to_markdown,
    wide,
)
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.store import Store
from agg2exp_core.store.evaluations import Evaluations


@dataclass(frozen=True, eq=False)
class Tables:
    """What a benchmark came to.

    Parameters
    ----------
    n_scores : int
        Scores in ``benchmark.parquet``.
    rows : list of dict
        Table 1, a row a method, as texts.
    markdown : str
        Table 1 with its notes.
    ranking : list of dict
        Methods ranked by how true their matrices are, as texts; empty where no metric of matrices was taken.
    """

    n_scores: int
    rows: list[dict[str, str]]
    markdown: str
    ranking: list[dict[str, str]]


def all_scores(store: Store) -> pd.DataFrame:
    """Return every score of a store, one row a scan, class, method and metric."""
    rows: list[dict[str, Any]] = []
    for scan_id in store.scans():
        for (label, metric), record in Evaluations(store, scan_id).all_scores().items():
            shared = {"scan": scan_id, "label": label, "metric": metric}
            shared |= {name: record[name] for name in ("method", "direction")}
            shared["parameters"] = json.dumps(record["parameters"], sort_keys=True)
            shared["recipe"] = json.dumps(record["recipe"], sort_keys=True)
            for name, score in record["scores"].items():
                numbers = {"value": score["value"], "standard_error": score["standard_error"]}
                details = json.dumps(score["details"], sort_keys=True)
                rows.append(shared | numbers | {"class": name, "details": details})
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"value": float, "standard_error": float})


def tabulate(uri: str) -> Tables:
    """Write ``benchmark.parquet`` and ``benchmark/``; return what is in them."""
    store = store_of(uri)
    scores = all_scores(store)
    if scores.empty:
        return Tables(0, [], "", [])
    buffer = io.BytesIO()
    scores.to_parquet(buffer, index=False)
    store.write_file("benchmark.parquet", buffer.getvalue())
    rows, markdown = _write_table1(store, scores)
    return Tables(len(scores), rows, markdown, _write_ranking(store, scores))


def _write_table1(store: Store, scores: pd.DataFrame) -> tuple[list[dict[str, str]], str]:
    summary, classes = summarise(scores), scores_by_class(scores)
    table, figure = wide(summary), benchmark_figure(summary)
    notes = [to_markdown(table), sampling_note(scores), reference_note(scores), options_note(scores)]
    markdown = "\n".join(filter(None, notes))
    for name, content in {
        "table1.md": markdown.encode(),
        "table1.csv": summary.to_csv().encode(),
        "table1.tex": to_latex(table).encode(),
        "table1.png": to_png(figure),
        "table1.svg": to_svg(figure),
        "table1-dark.png": to_png(dark := darken(benchmark_figure(summary))),
        "table1-dark.svg": to_svg(dark),
        "by_class.csv": classes.to_csv().encode(),
        "by_class.md": classes_to_markdown(classes).encode(),
    }.items():
        store.write_file(f"benchmark/{name}", content)
    return _rows(wide(summary, mark="")), markdown


def _write_ranking(store: Store, scores: pd.DataFrame) -> list[dict[str, str]]:
    """Write which method's matrices can be trusted, where a metric of matrices was taken."""
    ranking = rank_rois(scores)
    if ranking.empty:
        return []
    texts, variants = ranking_to_texts(ranking), variants_to_texts(ranking)
    tables = [texts, variants] if len(variants.columns) else [texts]
    for name, content in {
        "roi_faithfulness.md": "\n".join([*map(to_markdown, tables), LEGEND]).encode(),
        "roi_faithfulness.csv": ranking.to_csv().encode(),
        "roi_faithfulness.tex": "\n".join(map(to_latex, tables)).encode(),
    }.items():
        store.write_file(f"benchmark/{name}", content)
    return _rows(texts)


def _rows(texts: pd.DataFrame) -> list[dict[str, str]]:
    return [{"method": str(label), **row} for label, row in texts.iterrows()]
