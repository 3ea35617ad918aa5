"""When something was done, as it is written down."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def hours_since(stamp: str) -> float:
    """Return the hours that have passed since a stamp."""
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds() / 3600
