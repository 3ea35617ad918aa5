"""Networks and scans so small that a whole training takes a second or two."""

import numpy as np
import torch

from agg2exp_core.training import Example, PretrainingConfig, TrainingConfig

TINY = TrainingConfig.model_validate(
    {
        "name": "tiny",
        "class_names": ["background", "ball"],
        "network": {
            "name": "UNet",
            "arguments": {
                "spatial_dims": 3,
                "in_channels": 1,
                "out_channels": 2,
                "channels": [4, 8],
                "strides": [2],
                "norm": "batch",
                "dropout": 0.1,
            },
        },
        "windows": {"shape": [16, 16, 16]},
        "preprocessing": {"spacing_mm": 4.0},
        "data": {
            "kind": "phantoms",
            "training": {"first": 0, "n": 1},
            "validation": {"first": 1, "n": 1},
            "test": {"first": 2, "n": 1},
        },
        "training": {
            "window_shape": [16, 16, 16],
            "n_steps": 40,
            "batch_size": 2,
            "learning_rate": 0.02,
            "augmentation": "gentle",
            "validate_every": 15,
            "save_every": 6,
        },
    }
)


def balls(n: int) -> list[Example]:
    """Bright balls on a dark ground, each somewhere else."""
    random = np.random.default_rng(0)
    index = np.indices((20, 18, 22))
    examples = []
    for i in range(n):
        centre = random.uniform(7, 12, 3)[:, None, None, None]
        inside = ((index - centre) ** 2).sum(axis=0) < 25
        image = 0.2 + 0.5 * inside + random.normal(0, 0.05, inside.shape)
        examples.append(
            Example(f"b{i}", torch.tensor(image, dtype=torch.float32)[None], torch.tensor(inside).long())
        )
    return examples


TINY_ENCODER = PretrainingConfig.model_validate(
    {
        "name": "tiny_encoder",
        "network": {
            "name": "SwinUNETR",
            "arguments": {
                "in_channels": 1,
                "out_channels": 2,
                "feature_size": 12,
                "depths": [1, 1, 1, 1],
                "window_size": 4,
            },
        },
        "data": {"training": {"first": 0, "n": 1}, "validation": {"first": 1, "n": 1}, "kind": "phantoms"},
        "training": {
            "window_shape": [32, 32, 32],
            "n_steps": 5,
            "batch_size": 2,
            "learning_rate": 5e-4,
            "warm_up": 1,
            "gradient_norm": 1.0,
            "validate_every": 2,
            "n_validation_batches": 2,
            "save_every": 2,
        },
    }
)


def textures(n: int) -> list[torch.Tensor]:
    """Scans with a gradient along one axis and a bright ball, each at another place."""
    slope = np.indices((36, 34, 33))[0] / 60
    return [example.image.new_tensor(slope)[None] + _padded(example.image) for example in balls(n)]


def _padded(image: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(image, (5, 6, 8, 8, 8, 8), value=0.2)
