"""A user's own code by ``module:attribute``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from agg2exp_core.errors import UsageError


def find(what: str, reference: str) -> Any:
    """Return what ``module:attribute`` names.

    Parameters
    ----------
    what : str
        What it should be, for errors: ``method``, ``metric``.
    reference : str
        An importable module and a function or class in it.

    Raises
    ------
    UsageError
        If there is no such module or attribute, or the module fails when it is imported.
    """
    module_name, _, path = reference.partition(":")
    try:
        found = import_module(module_name)
    except Exception as error:  # whatever a user's module does when it is imported
        missing = isinstance(error, ModuleNotFoundError) and error.name in _parents(module_name)
        said = "no such module" if missing else f"a module that fails: {type(error).__name__}: {error}"
        raise UsageError(
            what,
            got=f"{reference!r}, {said}",
            allowed="module:attribute of a module that Python can import",
            remedy="run in the module's folder, or put that on PYTHONPATH",
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise UsageError(
                what,
                got=f"{reference!r}, but {module_name} has no {path!r}",
                allowed="the name of a function or class in it",
                remedy="check the name after the colon",
            )
        found = getattr(found, name)
    return found


def _parents(module_name: str) -> list[str]:
    parts = module_name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
