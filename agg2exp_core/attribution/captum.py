"""Captum's methods on a whole scan: ``captum:NAME`` explains the aggregated output of each class.

Outputs and gradients come from the problem, window by window, so that no method needs the graph of the
whole scan.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any, ClassVar, cast

import captum.attr
import numpy as np
import torch
from pydantic import AfterValidator, ValidationInfo, create_model

from agg2exp_core.attribution.baselines import Baseline, baseline_image
from agg2exp_core.attribution.method import Explained, Geometry, Method, Passes
from agg2exp_core.attribution.players import cubes, cubes_per_axis
from agg2exp_core.attribution.problem import Problem
from agg2exp_core.errors import UsageError
from agg2exp_core.random import random_bits
from agg2exp_core.settings import AnyValue

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


def _checked_sizes(value: Any, info: ValidationInfo) -> Any:
    """Refuse what is no size for each axis ``(X, Y, Z)`` or ``(C, X, Y, Z)``."""
    sizes = (value,) * 3 if isinstance(value, int) else value
    if (
        not isinstance(sizes, tuple | list)
        or len(sizes) not in (3, 4)
        or not all(isinstance(n, int) and n > 0 for n in sizes)
    ):
        raise UsageError(
            str(info.field_name),
            got=f"{value!r}",
            allowed="a positive whole number, or one for each axis such as 8,8,8",
            remedy=f"give it so, such as {info.field_name}=8,8,8",
        )
    return value


def _checked_mask(mask: Any) -> Any:
    _cube_side(mask)
    return mask


Sizes = Annotated[AnyValue, AfterValidator(_checked_sizes)]
"""A size for all axes, or one for each."""

_FIELDS: dict[str, tuple[Any, Any]] = {
    "baselines": (Baseline, "zero"),
    "feature_mask": (Annotated[AnyValue, AfterValidator(_checked_mask)], "semantic"),
    "sliding_window_shapes": (Sizes, None),  # required: None is no size
    "strides": (Sizes | None, None),
}
"""Parameters that mean something else here than in Captum, with their defaults."""


class CaptumMethod(Method):
    """What the methods of Captum have in common; the parameters are fields of the subclasses."""

    kind: ClassVar[type]
    """Captum's class."""

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield the attribution of each class, one after the other."""
        by_gradient = issubclass(self.kind, captum.attr.GradientAttribution)
        arguments = self._arguments(problem)
        for done, c in enumerate(classes):
            method = self.kind(_WholeModel(problem, c))
            with _seeded(*problem.noise_address, self.name, c), warnings.catch_warnings():
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
        names = type(self).model_fields.keys() - Method.model_fields.keys()
        arguments = {name: getattr(self, name) for name in names}
        if self.kind is captum.attr.IntegratedGradients:
            arguments["internal_batch_size"] = 1
        for name in ("sliding_window_shapes", "strides"):
            if arguments.get(name) is not None:
                arguments[name] = _per_axis(arguments[name], problem.model.n_channels)
        if "baselines" in arguments:
            baseline = baseline_image(arguments["baselines"], problem.image, problem.model)
            arguments["baselines"] = baseline[None].contiguous()
        if "feature_mask" in arguments:
            arguments["feature_mask"] = _feature_mask(arguments["feature_mask"], problem)
        return arguments


@cache
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
    fields: dict[str, Any] = {p.name: _FIELDS.get(p.name) or _field(p.default) for p in given}
    method = create_model(name, __base__=CaptumMethod, __module__=__name__, **fields)
    method.name, method.random, method.kind = f"captum:{name}", name in _RANDOM, kind
    return method


def _field(default: Any) -> tuple[Any, Any]:
    """Return type and default of a parameter as Captum has it."""
    return (type(default) if type(default) in (bool, int, float) else AnyValue), default


def _per_axis(value: Any, n_channels: int) -> tuple[int, ...]:
    """Return a size for each axis ``(C, X, Y, Z)``; with the channels left out, they go together."""
    sizes = (value,) * 3 if isinstance(value, int) else tuple(value)
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


class _Output(torch.autograd.Function):
    """The aggregated output of a class for each scan of a batch; its gradient is made with it."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, problem: Problem, class_index: int) -> torch.Tensor:
        if not images.requires_grad:
            return torch.cat([problem.outputs(image, [class_index]) for image in images]).to(images.device)
        made = [problem.gradients_and_outputs(image, [class_index]) for image in images.detach()]
        ctx.save_for_backward(torch.cat([gradient for gradient, _ in made]))  # [B, C, X, Y, Z]
        return torch.cat([output for _, output in made])  # [B]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * upstream.to(gradients)[:, None, None, None, None], None, None


class _WholeModel(torch.nn.Module):
    """The aggregated output of a class, ``[B]`` from scans ``[B, C, X, Y, Z]``."""

    def __init__(self, problem: Problem, class_index: int) -> None:
        super().__init__()
        self.network = problem.model.network  # whose modules some methods hook into
        self.problem, self.class_index = problem, class_index

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output of each scan, float64 ``[B]``."""
        outputs = _Output.apply(images, self.problem, self.class_index)  # type: ignore[no-untyped-call]
        return cast(torch.Tensor, outputs)


@contextmanager
def _seeded(*address: object) -> Iterator[None]:
    """Let the global generators, which Captum draws from, be a pure function of an address."""
    seed = int(random_bits(1, *address)[0])
    state = np.random.get_state()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed >> 1)
            np.random.seed(seed & 0xFFFFFFFF)
            yield
    finally:
        np.random.set_state(state)
