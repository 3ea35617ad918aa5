"""Remarks: what is doubtful about a scan, a network or a prediction, told or refused in one place.

What is looked at finds remarks; whether one of them refuses is decided here alone, so that a user can say of
each kind "I know", and it is then told in place of refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agg2exp_core.errors import Agg2ExpError

Acceptable = Literal["hu", "modality", "chance", "batch"]
"""Kinds of doubt that refuse unless the user knows better: a CT that is not in Hounsfield units; a scan of
another modality than the model's; a network that gives other logits each time; one whose logits depend on
the other windows of a pass."""


@dataclass(frozen=True)
class Remark:
    """One thing that is doubtful.

    Parameters
    ----------
    code : str
        Its kind, which stays the same whatever the sentence says.
    text : str
        What was found, without a path: it is stored and shown.
    allowed, remedy : str
        What is expected in its place and what to do, of what refuses; empty for what is only told.
    """

    code: str
    text: str
    allowed: str = ""
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Return what is stored of it."""
        return {"code": self.code, "text": self.text}

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Remark:
        """Return what was stored."""
        return cls(str(stored["code"]), str(stored["text"]))


def settled(
    remarks: Iterable[Remark], where: object, kind: type[Agg2ExpError], accept: Collection[str] = ()
) -> tuple[Remark, ...]:
    """Return remarks that are only told, or raise the first that refuses.

    Parameters
    ----------
    remarks : iterable of Remark
        What was found.
    where : object
        The scan or model, for the error.
    kind : type
        Of the error.
    accept : collection of str
        Codes of which the user says that they are right as they are.

    Raises
    ------
    Agg2ExpError
        Of `kind`, with the remark's sentence and the option that accepts it.
    """
    told = []
    for remark in remarks:
        if remark.allowed and remark.code not in accept:
            raise kind(
                where,
                got=remark.text,
                allowed=remark.allowed,
                remedy=f"{remark.remedy}; if it is right as it is: --accept {remark.code}",
            )
        told.append(Remark(remark.code, remark.text))
    return tuple(told)


def sentence(remarks: Iterable[Remark]) -> str:
    """Return remarks as one line."""
    return "; ".join(remark.text for remark in remarks)
