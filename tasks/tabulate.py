"""Last stage of a benchmark: all scores of a store as one table, its summary, its pictures."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from agg2exp_core.figures import darken, to_png, to_svg
from agg2exp_core.figures.benchmark import benchmark_figure
from agg2exp_core.metrics.notes import options_note, sampling_note, yardstick_note
from agg2exp_core.metrics.ranking import LEGEND, rank_rois, ranking_to_texts, variants_to_texts
from agg2exp_core.metrics.table import (
    COLUMNS,
    by_class,
    classes_to_markdown,
    summarise,
    to_latex,
    to_markdown,
    wide,
)
from agg2exp_core.store import Store
from agg2exp_core.store.evaluations import Evaluations
from tasks.resources import store_of
from tasks.retrying import RETRYING
from tasks.settings import artifact_key


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


@task(name="tabulate", **RETRYING)
def tabulate(uri: str) -> int:
    """Write ``benchmark.parquet`` and ``benchmark/``; return the number of scores."""
    store = store_of(uri)
    scores = all_scores(store)
    if scores.empty:
        return 0
    buffer = io.BytesIO()
    scores.to_parquet(buffer, index=False)
    store.write_file("benchmark.parquet", buffer.getvalue())
    _write_table1(store, scores)
    _write_ranking(store, scores)
    return len(scores)


def _write_table1(store: Store, scores: pd.DataFrame) -> None:
    summary, classes = summarise(scores), by_class(scores)
    table, figure = wide(summary), benchmark_figure(summary)
    notes = [to_markdown(table), sampling_note(scores), yardstick_note(scores), options_note(scores)]
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
    create_table_artifact(
        key=artifact_key("benchmark"),
        description="Mean and standard deviation over scans and classes",
        table=_rows(wide(summary, mark="")),
    )
    create_markdown_artifact(key=artifact_key("benchmark-table"), markdown=f"# Benchmark\n\n{markdown}")


def _write_ranking(store: Store, scores: pd.DataFrame) -> None:
    """Write which method's matrices can be trusted, where a metric of matrices was taken."""
    ranking = rank_rois(scores)
    if ranking.empty:
        return
    texts, variants = ranking_to_texts(ranking), variants_to_texts(ranking)
    tables = [texts, variants] if len(variants.columns) else [texts]
    for name, content in {
        "roi_faithfulness.md": "\n".join([*map(to_markdown, tables), LEGEND]).encode(),
        "roi_faithfulness.csv": ranking.to_csv().encode(),
        "roi_faithfulness.tex": "\n".join(map(to_latex, tables)).encode(),
    }.items():
        store.write_file(f"benchmark/{name}", content)
    create_table_artifact(
        key=artifact_key("benchmark-roi-faithfulness"),
        description="Methods ranked by how true their matrices are",
        table=_rows(texts),
    )


def _rows(texts: pd.DataFrame) -> list[dict[str, str]]:
    return [{"method": label, **row} for label, row in texts.iterrows()]
