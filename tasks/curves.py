"""The curves of a training in the UI."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.settings import artifact_key


def show_curves(name: str, rows: Sequence[Mapping[str, Any]], folder: Path, outcome: str) -> None:
    """Make artifacts of the rows and of the picture of a training, which came to `outcome`."""
    create_table_artifact(
        key=artifact_key("curves", name), table=[dict(row) for row in rows], description=f"Curves of {name}"
    )
    picture = base64.b64encode((folder / "curves.png").read_bytes()).decode()
    create_markdown_artifact(
        key=artifact_key("training", name),
        markdown=f"# {name}\n\n{outcome}\n\n![curves](data:image/png;base64,{picture})",
    )
