"""Voxel attributions: which voxels made the model segment a class here.

`attribute` is the door, `attribute_planes` the one for attributions that are not held whole. A `Method`
declares what it can do and explains a `Problem`, which differentiates the sliding-window model;
`registry` knows the methods, `masks` says what number of a class is explained.
"""

from agg2exp_core.attribution.api import attribute, attribute_planes, choose_classes
from agg2exp_core.attribution.gradient import IntegratedGradients, SmoothGrad, VanillaGradient
from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.attribution.plan import Estimate, estimate
from agg2exp_core.attribution.problem import Point, Problem
from agg2exp_core.attribution.registry import METHODS, is_default, make_method, method_class, parameters
from agg2exp_core.attribution.stream import Planes
from agg2exp_core.execution import Execution

__all__ = [
    "METHODS",
    "Estimate",
    "Execution",
    "Geometry",
    "IntegratedGradients",
    "Method",
    "Passes",
    "Planes",
    "Point",
    "Problem",
    "SmoothGrad",
    "VanillaGradient",
    "attribute",
    "attribute_planes",
    "choose_classes",
    "estimate",
    "is_default",
    "make_method",
    "method_class",
    "parameters",
]
