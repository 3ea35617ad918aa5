"""What can go wrong, in one base and four kinds.

Every message names the place, what was got there, what is allowed, and what to do.
"""

from __future__ import annotations


class Agg2ExpError(Exception):
    """Base of every error that a user can mend.

    Parameters
    ----------
    where : str
        The file, option or argument at fault.
    got : str
        What was found there.
    allowed : str
        What would have been accepted.
    remedy : str
        What to do about it.
    """

    def __init__(self, where: object, *, got: str, allowed: str, remedy: str) -> None:
        self.where, self.got, self.allowed, self.remedy = str(where), got, allowed, remedy
        super().__init__(self.where, got, allowed, remedy)

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.where, self.got, self.allowed, self.remedy)

    def at(self, where: object) -> Agg2ExpError:
        """Return the same error at another place: a scan's id in place of its path, for one."""
        return _rebuild(type(self), str(where), self.got, self.allowed, self.remedy)

    @property
    def reason(self) -> str:
        """The message without the place, on one line."""
        return " ".join(f"{self.got}; allowed: {self.allowed}; {self.remedy}".split())


def _rebuild(kind: type[Agg2ExpError], where: str, got: str, allowed: str, remedy: str) -> Agg2ExpError:
    return kind(where, got=got, allowed=allowed, remedy=remedy)


class UsageError(Agg2ExpError):
    """A parameter, option or argument that has no meaning here."""


class ScanError(Agg2ExpError):
    """A scan, or a mask that belongs to it, cannot be used; the rest of its batch can."""


class ModelError(Agg2ExpError):
    """A model cannot be loaded, or does not fit the scan."""


class StoreError(Agg2ExpError):
    """A store cannot be opened, read or written, or holds something else."""
