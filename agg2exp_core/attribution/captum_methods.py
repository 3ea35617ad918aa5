"""Captum's methods on a whole scan: ``captum:NAME`` explains the aggregated output of each class."""

from __future__ import annotations

import dataclasses
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, cast

import captum.attr
import numpy as np
import torch

from agg2exp_core.attribution.baselines import baseline_image, parse_baseline
from agg2exp_core.attribution.captum_scan import WholeModel, seeded
from agg2exp_core.attribution.engine import Problem
from agg2exp_core.attribution.method import Explained, Geometry, Method, Passes
from agg2exp_core.attribution.supervoxels import cubes, cubes_per_axis
from agg2exp_core.errors import UsageError

Cost = Callable[[Any, Geometry], tuple[int, int]]
"""From a method and a geometry to the scans it evaluates and those it differentiates at."""


def _gradient(method: Any, geometry: Geometry) -> tuple[int, int]:
    return 0, 1


def _positions(method: Any, geometry: Geometry) -> tuple[int, int]:
    sides = _per_axis(method.sliding_window_shapes, geometry.n_channels)
    strides = _per_axis(method.strides or 1, geometry.n_channels)
    shape = (geometry.n_channels, *geometry.tiling.scan_shape)
    return 1 + math.prod(1 + math.ceil((n - w) / s) for n, w, s in zip(shape, sides, strides, strict=True)), 0


METHODS: dict[str, Cost] = {
    "Saliency": _gradient,
    "InputXGradient": _gradient,
    "GuidedBackprop": _gradient,
    "Deconvolution": _gradient,
    "IntegratedGradients": lambda method, geometry: (0, method.n_steps),
    "GradientShap": lambda method, geometry: (0, method.n_samples),
    "Occlusion": _positions,
    "FeatureAblation": lambda method, geometry: (1 + method.n_features(geometry), 0),
    "ShapleyValueSampling": lambda method, geometry: (
        1 + method.n_samples * method.n_features(geometry),
        0,
    ),
    "ShapleyValues": lambda method, geometry: (
        1 + math.factorial(method.n_features(geometry)) * method.n_features(geometry),
        0,
    ),
    "KernelShap": lambda method, geometry: (1 + method.n_samples, 0),
    "Lime": lambda method, geometry: (1 + method.n_samples, 0),
}
"""The methods of Captum that explain a scan, with what each costs for a class."""

_ONE_CALL = "it keeps what each module saw last, and the windows of a scan pass the same modules in turn"
_REFUSED: dict[str, str] = {
    "DeepLift": _ONE_CALL,
    "DeepLiftShap": _ONE_CALL,
    "LRP": _ONE_CALL,
    "GuidedGradCam": "it explains with a layer inside the network, not with the scan",
    "FeaturePermutation": "it permutes between the scans of a batch, and a scan is explained alone",
    "NoiseTunnel": "it wraps another method; smoothgrad is the noise tunnel over the gradient",
}

_RANDOM = ("GradientShap", "ShapleyValueSampling", "KernelShap", "Lime")
_OURS = {
    "self",
    "inputs",
    "target",
    "additional_forward_args",
    "internal_batch_size",
    "return_convergence_delta",
    "return_input_shape",
    "show_progress",
    "kwargs",
}
"""Arguments of Captum's `attribute` that the adapter gives itself."""


class CaptumMethod:
    """What the methods of Captum have in common; the parameters are fields of the subclasses."""

    name: ClassVar[str]
    random: ClassVar[bool]
    kind: ClassVar[type]
    required: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Any]]
    aggregation: str

    def __post_init__(self) -> None:
        for name in self.required:
            if getattr(self, name) is None:
                raise UsageError(
                    name,
                    got="nothing",
                    allowed=f"a value of {name} for {self.name}",
                    remedy=f"give one, such as {name}=8,8,8",
                )
        if hasattr(self, "baselines"):
            object.__setattr__(self, "baselines", parse_baseline(self.baselines))
        if hasattr(self, "feature_mask"):
            _cube_side(self.feature_mask)

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield the attribution of each class, one after the other."""
        by_gradient = issubclass(self.kind, captum.attr.GradientAttribution)
        arguments = self._arguments(problem)
        for done, c in enumerate(classes):
            method = self.kind(WholeModel(problem, c))
            with seeded(*problem.noise_address, self.name, c), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of hooks and gradients that are meant
                try:
                    inputs = problem.image[None].clone().requires_grad_(by_gradient)  # [1, C, X, Y, Z]
                    values = method.attribute(inputs, **arguments)
                except (AssertionError, TypeError, ValueError) as error:
                    raise UsageError(
                        self.name,
                        got=f"parameters that Captum refuses ({' '.join(str(error).split())})",
                        allowed=f"what captum.attr.{self.kind.__name__}.attribute takes",
                        remedy="correct them",
                    ) from error
            yield c, values.detach()[0].to(problem.image), {}
            problem.progress(done + 1, len(classes))

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most."""
        n_values, n_gradients = METHODS[self.kind.__name__](self, geometry)
        n = geometry.n_windows * geometry.n_explained
        return Passes(n * (n_values + n_gradients), n * n_gradients)

    def n_features(self, geometry: Geometry) -> int:
        """Return how many features the feature mask tells apart, at most."""
        mask = getattr(self, "feature_mask")  # noqa: B009  (a field of some subclasses)
        if not isinstance(mask, str):
            return len(np.unique(np.asarray(mask)))
        side = _cube_side(mask)
        return (
            geometry.n_classes
            if side is None
            else math.prod(cubes_per_axis(geometry.tiling.scan_shape, side))
        )

    def _arguments(self, problem: Problem) -> dict[str, Any]:
        arguments = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "aggregation"
        }
        if self.kind is captum.attr.IntegratedGradients:
            arguments["internal_batch_size"] = 1
        for name in {"sliding_window_shapes", "strides"} & arguments.keys():
            if arguments[name] is not None:
                arguments[name] = _per_axis(arguments[name], problem.model.n_channels)
        if "baselines" in arguments:
            baseline = baseline_image(arguments["baselines"], problem.image, problem.model)
            arguments["baselines"] = baseline[None].contiguous()
        if "feature_mask" in arguments:
            arguments["feature_mask"] = _feature_mask(arguments["feature_mask"], problem)
        return arguments


def captum_method(name: str) -> type[Method]:
    """Return a method of Captum by its name there; its parameters are those of Captum's `attribute`.

    ``feature_mask`` is ``semantic`` (the predicted classes), ``cubes:SIDE`` (voxels), or integers
    ``[X, Y, Z]``; ``baselines`` as for `parse_baseline`.

    Raises
    ------
    UsageError
        If Captum has no such method, or it cannot explain a scan in windows.
    """
    if name not in METHODS:
        reason = _REFUSED.get(name, "no method of Captum's that explains inputs")
        raise UsageError(
            "method",
            got=f"'captum:{name}': {reason}",
            allowed=", ".join(f"captum:{known}" for known in METHODS),
            remedy="pick one of them",
        )
    kind = getattr(captum.attr, name)
    given = [p for p in inspect.signature(kind.attribute).parameters.values() if p.name not in _OURS]
    defaults = {p.name: None if p.default is p.empty else p.default for p in given}
    required = tuple(p.name for p in given if p.default is p.empty and p.name != "baselines")
    defaults |= {"baselines": "zero"} if "baselines" in defaults else {}
    defaults |= {"feature_mask": "semantic"} if "feature_mask" in defaults else {}
    fields = [
        (key, type(value) if type(value) in (bool, int, float) else Any, dataclasses.field(default=value))
        for key, value in {**defaults, "aggregation": "sum"}.items()
    ]
    attributes = {
        "name": f"captum:{name}",
        "random": name in _RANDOM,
        "kind": kind,
        "required": required,
        "__module__": __name__,
    }
    made = dataclasses.make_dataclass(name, fields, bases=(CaptumMethod,), frozen=True, namespace=attributes)
    return cast(type[Method], made)


def _per_axis(value: Any, n_channels: int) -> tuple[int, ...]:
    """Return a size for each axis ``(C, X, Y, Z)``; with the channels left out, they go together."""
    sizes = (value,) * 3 if isinstance(value, int) else tuple(value)
    if len(sizes) not in (3, 4) or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise UsageError(
            "sliding_window_shapes and strides",
            got=f"{value!r}",
            allowed="a positive whole number, or one for each axis such as 8,8,8",
            remedy="give it so",
        )
    return sizes if len(sizes) == 4 else (n_channels, *sizes)


def _cube_side(mask: Any) -> int | None:
    """Return the side of ``cubes:SIDE``, None for other feature masks."""
    if not isinstance(mask, str) or mask == "semantic":
        return None
    head, _, side = mask.partition(":")
    if head != "cubes" or not side.isdecimal() or int(side) < 1:
        raise UsageError(
            "feature_mask",
            got=f"{mask!r}",
            allowed="semantic, or cubes:SIDE with a side in voxels such as cubes:64",
            remedy="pick one of them",
        )
    return int(side)


def _feature_mask(mask: Any, problem: Problem) -> torch.Tensor:
    """Return consecutive ids from 0, one for each feature ``[1, 1, X, Y, Z]``."""
    side = _cube_side(mask)
    if not isinstance(mask, str):
        ids = torch.as_tensor(np.asarray(mask), device=problem.image.device)
    elif side is None:
        ids = problem.tiling.crop(problem.clean.labels).int()
    else:
        ids = cubes(problem.tiling.scan_shape, side, problem.image.device)
    if tuple(ids.shape) != problem.tiling.scan_shape:
        raise UsageError(
            "feature_mask",
            got=f"the shape {list(ids.shape)}",
            allowed=f"that of the scan, {list(problem.tiling.scan_shape)}",
            remedy="give an id for each voxel",
        )
    consecutive: torch.Tensor = torch.unique(ids, return_inverse=True)[1]
    return consecutive[None, None]
