"""What decides the result of a training, as a hash."""

from __future__ import annotations

import hashlib
import json

from agg2exp_core.training.config import NetworkConfig


def identity_of(config: NetworkConfig) -> str:
    """Return a hash of a configuration and of the weights that it starts from, wherever they lie."""
    told = config.model_dump(mode="json")
    pretrained = config.network.pretrained
    if pretrained is not None:
        told["network"]["pretrained"] = hashlib.sha256(pretrained.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
