"""Where a run is: one of a deployment may be anywhere, so that its paths are absolute."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.runtime import deployment

from agg2exp_core.errors import UsageError
from agg2exp_core.settings import Place, Settings


def require_places(settings: Settings, scans: Sequence[str] = ()) -> None:
    """Refuse relative paths in a run of a deployment, before it reads or writes anything.

    Parameters
    ----------
    settings : Settings
        Of the run.
    scans : sequence of str
        Paths of its scans.

    Raises
    ------
    UsageError
        If a path is relative: it would be somewhere in the folder of the worker.
    """
    if not deployment.get_id():
        return
    relative = [("scans", path) for path in scans if Place().is_relative(path)]
    for option, path in [*settings.relative_places().items(), *relative]:
        raise UsageError(
            option,
            got=f"{path}, a relative path",
            allowed="an absolute path that all workers reach, or an address",
            remedy="write it from the root on; `agg2exp deploy` does so itself",
        )
