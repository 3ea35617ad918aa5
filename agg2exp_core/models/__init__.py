"""Anything that segments becomes a `SegmentationModel`.

`load_model` reads a MONAI bundle (a folder, or ``monai:NAME``), a folder of nnU-Net v2, a model description
(YAML with a weights file), a TorchScript or exported program beside its description, a packaged model, or
calls a user's function (``module:attribute``); `wrap_network` takes a network that is already in memory.
"""

from agg2exp_core.models.examination import check_network
from agg2exp_core.models.loading import PACKAGED_MODELS, check_reference, is_model, load_model
from agg2exp_core.models.precision import PRECISIONS, with_precision
from agg2exp_core.models.wrapping import choose_device, wrap_network

__all__ = [
    "PACKAGED_MODELS",
    "PRECISIONS",
    "check_network",
    "check_reference",
    "choose_device",
    "is_model",
    "load_model",
    "with_precision",
    "wrap_network",
]
