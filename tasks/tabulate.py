"""Last stage of a benchmark: all scores of a store as one table, its summary, its pictures."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from agg2exp_core.figures import to_png, to_svg
from agg2exp_core.figures.benchmark import benchmark_figure
from agg2exp_core.metrics.table import (
    COLUMNS,
    by_class,
    summarise,
    to_latex,
    to_markdown,
    wide,
    yardstick_note,
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
    summary = summarise(scores)
    table = wide(summary)
    markdown = "\n".join(filter(None, [to_markdown(table), yardstick_note(scores)]))
    figure = benchmark_figure(summary)
    for name, content in {
        "table1.md": markdown.encode(),
        "table1.csv": summary.to_csv().encode(),
        "table1.tex": to_latex(summary).encode(),
        "by_class.csv": by_class(scores).to_csv().encode(),
        "table1.png": to_png(figure),
        "table1.svg": to_svg(figure),
    }.items():
        store.write_file(f"benchmark/{name}", content)
    create_table_artifact(
        key=artifact_key("benchmark"),
        description="Mean and standard deviation over scans and classes",
        table=[{"method": label, **row} for label, row in wide(summary, bold=("", "")).iterrows()],
    )
    create_markdown_artifact(key=artifact_key("benchmark-table"), markdown=f"# Benchmark\n\n{markdown}")
    return len(scores)
