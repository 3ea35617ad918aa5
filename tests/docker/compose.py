"""The compose file as it says itself, with its variables put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

DOCKER = Path(__file__).resolve().parents[2] / "docker"
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[?+-])(?P<word>[^}]*))?\})")


def text() -> str:
    """Return the file without its comments."""
    lines = (DOCKER / "compose.yaml").read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def variables() -> dict[str, set[str]]:
    """Return the names of the variables, and how each is used: ``?`` required, ``-`` with a default,
    ``+`` for another word where it is set."""
    used: dict[str, set[str]] = {}
    for found in _VARIABLE.finditer(text()):
        if found["name"]:
            used.setdefault(found["name"], set()).add(found["kind"] or "")
    return used


def example() -> dict[str, str]:
    """Return what .env.example sets."""
    lines = (DOCKER / ".env.example").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, value in pairs}


def compose(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the parsed file with variables replaced as Compose does; a missing one is a KeyError."""

    def value(found: re.Match[str]) -> str:
        if not found["name"]:
            return "$"
        given = values.get(found["name"], "")
        if not given and found["kind"] == "?":
            raise KeyError(found["name"])
        if found["kind"] == "+":
            return found["word"] if given else ""
        return given or found["word"] or ""

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: filled(child) for key, child in node.items()}
        if isinstance(node, list):
            return [filled(child) for child in node]
        return _VARIABLE.sub(value, node) if isinstance(node, str) else node

    return filled(yaml.safe_load(text()))
