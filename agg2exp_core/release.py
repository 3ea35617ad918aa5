"""Which code this is: its release, and the commit where that is known."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

VARIABLE = "AGG2EXP_COMMIT"
"""The commit that an image was built from, as its environment says."""
_DIGITS = 12
_SECONDS = 10.0


@cache
def code_version() -> str:
    """Return release and commit, such as ``0.1.0+g1a2b3c4d5e6f``, with ``.dirty`` for a changed checkout.

    The commit is that of the checkout that the code runs from, of the repository that pip installed it from,
    or the one that AGG2EXP_COMMIT names; without any of these the release stands alone.
    """
    try:
        installed = distribution("agg2exp")
        release, origin = installed.version, installed.read_text("direct_url.json")
    except PackageNotFoundError:
        release, origin = "unknown", None
    from_pip = json.loads(origin).get("vcs_info", {}).get("commit_id") if origin else None
    commit = _of_checkout(Path(__file__).parents[1]) or from_pip or os.environ.get(VARIABLE)
    return f"{release}+g{commit}" if commit else release


def _of_checkout(folder: Path) -> str | None:
    """Return the commit of a folder that is a checkout itself, and does not merely lie in one."""
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--exclude=*", f"--abbrev={_DIGITS}"]
    try:
        done = subprocess.run(
            [*command, "--dirty=.dirty"], capture_output=True, text=True, check=True, timeout=_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
