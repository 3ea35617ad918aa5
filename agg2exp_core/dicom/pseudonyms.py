"""Who was scanned becomes a keyed hash: the same for the same key, and nothing without it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

from agg2exp_core.dicom.headers import Header
from agg2exp_core.errors import UsageError

KEY_VARIABLE = "AGG2EXP_IDENTITY_KEY"
LEAST_KEY_CHARACTERS = 32
ID_CHARACTERS = 20
"""Of a scan id: 80 bits, so that two of a million scans meet with a chance of 4e-13."""
OLDEST = 89
"""Ages above it are one band: they tell people apart."""
KEPT = ("age", "sex")
"""What may be kept of a patient where it is asked for."""


class IdentityKey:
    """The hospital's secret, from which all scan ids follow.

    Parameters
    ----------
    secret : str
        At least 32 characters, random; whoever has it can try names until a hash fits.

    Raises
    ------
    UsageError
        If there is none, or a short one.
    """

    def __init__(self, secret: str) -> None:
        if len(secret.strip()) < LEAST_KEY_CHARACTERS:
            raise UsageError(
                KEY_VARIABLE,
                got=f"{len(secret.strip())} characters" if secret.strip() else "no key",
                allowed=f"a secret of at least {LEAST_KEY_CHARACTERS} characters, the same every time",
                remedy="make one with: openssl rand -hex 32; keep it in the environment or in a Secret block",
            )
        self._key = secret.strip().encode()

    def __repr__(self) -> str:
        return "IdentityKey(...)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key does not leave its process")

    def digest(self, purpose: str, *parts: str | bytes) -> str:
        """Return the keyed hash (HMAC-SHA256, hex) of parts, each told apart from the next.

        Parameters
        ----------
        purpose : str
            What the hash is for: equal parts have different hashes for different purposes.
        *parts : str or bytes
            What is hashed.
        """
        mac = hmac.new(self._key, digestmod="sha256")
        for part in (purpose, *parts):
            content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
            mac.update(len(content).to_bytes(8, "little") + content)
        return mac.hexdigest()

    def scan_id(self, *identifiers: str) -> str:
        """Return the id of the scan that identifiers name."""
        return self.digest("scan", *identifiers)[:ID_CHARACTERS]


def kept_metadata(header: Header, keep: Iterable[str]) -> dict[str, str]:
    """Return what is asked for of a patient, as far as the file says it in the standard's form.

    Parameters
    ----------
    header : Header
        Of any slice.
    keep : iterable of {"age", "sex"}
        What is asked for.
    """
    said = {"age": age_band(header.age), "sex": header.sex if header.sex in ("M", "F", "O") else ""}
    return {name: said[name] for name in KEPT if name in keep and said[name]}


def age_band(age: str) -> str:
    """Return the whole years of a DICOM age string, ``90+`` above 89, empty for what is none."""
    match = re.fullmatch(r"(\d{3})([DWMY])", age)
    if match is None:
        return ""
    years = int(match[1]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[match[2]]
    return str(years) if years <= OLDEST else f"{OLDEST + 1}+"
