"""The state of an unfinished training on disk: complete or not there at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

from agg2exp_core.errors import UsageError

CHECKPOINT = "checkpoint.pt"


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file that takes the place of `path` once it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors and plain values; a process killed meanwhile leaves the one before."""
    replace_file(folder / CHECKPOINT, lambda file: torch.save(state, file))


def load_checkpoint(folder: Path, identity: str) -> dict[str, Any] | None:
    """Return the state that a folder holds, if any, on the CPU.

    Raises
    ------
    UsageError
        If it belongs to a training with other settings, or cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
    except Exception as error:  # the reader raises whatever the bytes provoke
        raise UsageError(
            path,
            got="a checkpoint that cannot be read",
            allowed="one that this program wrote",
            remedy="remove the file to begin again",
        ) from error
    if found != identity:
        raise UsageError(
            folder,
            got="a training begun with other settings",
            allowed="the settings that it was begun with",
            remedy="name another output folder",
        )
    return state
