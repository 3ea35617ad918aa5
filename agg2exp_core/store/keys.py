"""Names as keys of a store, names of results, and how both and time stamps are written down."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from agg2exp_core.errors import StoreError, out_of_range

METADATA = "zarr.json"
"""The key whose presence makes a Zarr node visible."""
_NAME = re.compile(r"(?!\.|__|\s)[\w .()+,&=@-]{1,128}(?<!\s)")
_MOST_BYTES = 128
"""Of a name in UTF-8; with what is put before and after it, a file system takes it."""


def check_name(kind: str, name: str) -> str:
    """Return `name` if it can be one segment of a key on a file system and on S3.

    Parameters
    ----------
    kind : str
        What is named ("class", "label", "scan", ...), for the message.
    name : str
        The name.

    Raises
    ------
    StoreError
        If the name is empty, too long, or holds a separator or another unsafe character.
    """
    if not _NAME.fullmatch(name) or name == METADATA or len(name.encode()) > _MOST_BYTES:
        allowed = (
            "1 to 128 letters (fewer beyond ASCII), digits, spaces and . _ - ( ) + , & = @, "
            "starting with neither a dot nor a space nor two underscores"
        )
        raise out_of_range(f"{kind} name", repr(name), allowed, kind=StoreError, remedy=f"rename the {kind}")
    return name


def identity(**parts: object) -> str:
    """Return the name of a result: SHA-256 of the canonical JSON of what it depends on.

    Parameters
    ----------
    **parts : object
        JSON values (NumPy scalars and tuples included): content hash of the scan, fingerprint of the
        model, preprocessing, method, parameters, class, seed.

    Returns
    -------
    str
        64 hexadecimal digits. The same parts give the same name, whatever their order.

    Raises
    ------
    ValueError
        If a number is not finite: it has no canonical JSON.
    TypeError
        If a part is no JSON value.
    """
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def canonical_json(value: object) -> bytes:
    """Return JSON with sorted keys and no spaces, in UTF-8."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_scalar
    )
    return text.encode()


def _scalar(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value: {value!r}")


def json_ready(value: Any) -> Any:
    """Return `value` as plain JSON; numbers that are not finite, which JSON lacks, become None."""
    match value:
        case np.generic() | np.ndarray():
            return json_ready(value.tolist())
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): json_ready(item) for key, item in value.items()}
        case str():
            return value
        case Sequence():
            return [json_ready(item) for item in value]
    return value


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def hours_since(stamp: str) -> float:
    """Return the hours that have passed since a stamp."""
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds() / 3600
