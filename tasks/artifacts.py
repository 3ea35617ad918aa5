"""Keys of artifacts in the Prefect UI."""

from __future__ import annotations

import hashlib


def artifact_key(*parts: str) -> str:
    """Return a key that Prefect accepts, different for different parts."""
    text = "-".join(parts)
    readable = "".join(ch if ch.isascii() and (ch.isalnum() or ch == "-") else "-" for ch in text.lower())
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
