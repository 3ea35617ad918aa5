"""The network of a configuration, as a training begins with it."""

from __future__ import annotations

import monai.networks.nets
import torch

from agg2exp_core.errors import UsageError
from agg2exp_core.training.config import NetworkConfig
from agg2exp_core.training.pretrained import load_encoder


def build_network(config: NetworkConfig, seed: int) -> torch.nn.Module:
    """Return the MONAI network of a configuration.

    Its weights are drawn from `seed`, but for those that the configuration takes from a file.

    Raises
    ------
    UsageError
        If MONAI has no such network, or it refuses the arguments.
    ModelError
        If the pretrained weights do not fit.
    """
    settings = config.network
    kind = getattr(monai.networks.nets, settings.name, None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise UsageError(
            "network.name",
            got=f"{settings.name!r}",
            allowed="a class in monai.networks.nets, such as SwinUNETR",
            remedy="correct the configuration",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            built: torch.nn.Module = kind(**settings.arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UsageError(
                "network.arguments",
                got=f"what {settings.name} refuses ({error})",
                allowed=f"the arguments of {settings.name}",
                remedy="correct the configuration",
            ) from error
    if settings.pretrained is not None:
        load_encoder(built, settings.pretrained)
    return built
