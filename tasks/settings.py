"""What a run was asked to do: plain data that survives the way to a worker."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from agg2exp_core.attribution import Method, is_default, make_method, parameters
from agg2exp_core.errors import Agg2ExpError, UsageError
from agg2exp_core.store import identity

STORED = ("float32", "float16")
"""How attributions are kept; the first is the default."""


@dataclass(frozen=True)
class ScanJob:
    """A scan to explain.

    Parameters
    ----------
    scan_id : str
        Its name everywhere.
    path : str
        Where it lies.
    """

    scan_id: str
    path: str


@dataclass(frozen=True)
class Rejected:
    """A scan that cannot be used, known before the work begins.

    Parameters
    ----------
    scan_id : str
        Its name.
    reason : str
        Why, in one sentence without its path.
    """

    scan_id: str
    reason: str


@dataclass(frozen=True)
class ExplainSettings:
    """How scans are explained.

    Parameters
    ----------
    store : str
        Local path or ``s3://bucket/prefix`` of the results.
    model : str
        Reference for `agg2exp_core.models.load_model`.
    method : str
        Name of an attribution method, ``captum:NAME``, or a user's own as ``module:attribute``.
    params : dict
        Its parameters; what is left out has its default.
    label : str or None
        Name of the results; by default the method (with a dot for a colon), and a short hash
        where parameters are not the defaults.
    classes : list of str or None
        Which classes; all by default.
    seed : int
        Seed of what is random.
    device : str
        ``auto``, ``cpu``, ``cuda:0``, …
    precision : {"float32", "bfloat16", "float16"}
        What the network computes in; another than float32 makes another model of it.
    rois, roi_names : str or None
        Extra regions, as for `agg2exp_core.volumes.load_rois`.
    classes_per_task : int or None
        Classes per task run; None for all in one.
    window_batch : int or None
        Windows per pass of the network, at most; None for what fits.
    voxels : bool
        Whether attributions are kept, or only their sums over the regions.
    stored : {"float32", "float16"}
        How attributions are kept; float16 takes half the space and misses by 2^-12 of a block's peak.
    restore_voxels : bool
        Whether attributions whose voxels retention dropped are computed again.
    """

    store: str
    model: str
    method: str = "smoothgrad"
    params: dict[str, Any] = field(default_factory=dict)
    label: str | None = None
    classes: list[str] | None = None
    seed: int = 0
    device: str = "auto"
    rois: str | None = None
    roi_names: str | None = None
    classes_per_task: int | None = None
    window_batch: int | None = None
    voxels: bool = True
    stored: str = "float32"
    precision: str = "float32"
    restore_voxels: bool = False

    def __post_init__(self) -> None:
        if self.restore_voxels and not self.voxels:
            raise UsageError(
                "--restore-voxels", got="it beside --no-voxels", allowed="one of them", remedy="leave one out"
            )
        if self.stored not in STORED:
            raise UsageError(
                "--store-as", got=repr(self.stored), allowed=" or ".join(STORED), remedy="pick one of them"
            )

    @property
    def attribution_method(self) -> Method:
        """The method with its parameters."""
        return make_method(self.method, self.params)

    @property
    def effective_seed(self) -> int:
        """The seed where the method is random, else 0: it then changes nothing."""
        return self.seed if self.attribution_method.random else 0

    @property
    def result_label(self) -> str:
        """The name of the results in the store."""
        method = self.attribution_method
        if self.label is not None:
            return self.label
        name = method.name.replace(":", ".")
        if is_default(method) and self.effective_seed == 0 and self.stored == STORED[0]:
            return name
        return f"{name}-{self.recipe_identity[:8]}"

    @property
    def recipe(self) -> dict[str, Any]:
        """Method, parameters and seed: what a label stands for."""
        method = self.attribution_method
        recipe = {"method": method.name, "params": parameters(method), "seed": self.effective_seed}
        return recipe if self.stored == STORED[0] else recipe | {"stored": self.stored}

    @property
    def recipe_identity(self) -> str:
        """Hex digest of the recipe."""
        return identity(**self.recipe)


@contextmanager
def without_path(scan_id: str) -> Iterator[None]:
    """Let errors name a scan by its id: logs and run states show no path, which may name a person."""
    try:
        yield
    except Agg2ExpError as error:
        raise error.at(scan_id) from None


def reason_of(error: object, scan_id: str, path: str) -> str:
    """Say in one sentence why a scan failed, without its path, which may name a person."""
    if isinstance(error, Agg2ExpError):
        text = error.reason
    else:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return text.replace(path, scan_id)


def artifact_key(*parts: str) -> str:
    """Return a key that Prefect accepts, different for different parts."""
    text = "-".join(parts)
    readable = "".join(ch if ch.isascii() and (ch.isalnum() or ch == "-") else "-" for ch in text.lower())
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class ScanOutcome:
    """How a scan fared in a run.

    Parameters
    ----------
    scan_id : str
        Its name.
    status : {"done", "failed", "rejected"}
        Whether it was explained, failed on the way, or could not be used.
    reason : str
        Why not; of what is done, a remark or nothing.
    n_classes : int
        Classes that the model found in it.
    n_computed, n_kept : int
        Attributions computed in this run, and found complete in the store.
    seconds : float
        Wall time of this run.
    """

    scan_id: str
    status: str
    reason: str = ""
    n_classes: int = 0
    n_computed: int = 0
    n_kept: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class RunSummary:
    """How a run fared.

    Parameters
    ----------
    store : str
        Where the results are.
    label : str
        Their name there.
    outcomes : list of ScanOutcome
        One a scan, in the order they were given.
    n_cohort : int
        Scans of the store in the matrices of this label.
    """

    store: str
    label: str
    outcomes: list[ScanOutcome]
    n_cohort: int

    @property
    def n_done(self) -> int:
        """Scans that are explained."""
        return sum(outcome.status == "done" for outcome in self.outcomes)
