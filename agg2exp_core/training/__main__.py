"""The small network that comes with the package: made again, and scored.

``python -m agg2exp_core.training --out FOLDER`` trains it and writes it to a folder;
``python -m agg2exp_core.training --evaluate FOLDER`` prints its Dice on phantoms that it never saw.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from agg2exp_core.errors import Agg2ExpError, UsageError
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.models import load_model
from agg2exp_core.prediction import predict
from agg2exp_core.training.evaluation import evaluate
from agg2exp_core.training.examples import phantom_examples
from agg2exp_core.training.fitting import TrainingSettings, build_network, save_model, train
from agg2exp_core.volumes import CTPreprocessing

THORAX_PHANTOM: Mapping[str, Any] = {
    "name": "thorax_phantom",
    "network": {
        "name": "UNet",
        "arguments": {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": len(THORAX_CLASSES),
            "channels": [24, 48, 80, 112],
            "strides": [2, 2, 2],
            "num_res_units": 0,
            "norm": "batch",
        },
    },
    "weights": "model.safetensors",
    "n_channels": 1,
    "class_names": list(THORAX_CLASSES),
    "windows": {"shape": [56, 72, 56], "overlap": 0.25, "blend": "gaussian"},
    "preprocessing": {"kind": "ct", "spacing_mm": 4.0, "hu_range": [-1024.0, 1024.0]},
}
"""The description of the shipped model."""

TRAINING_SEEDS = range(100_000, 100_048)
UNSEEN_SEEDS = range(200_000, 200_008)


def _make(folder: Path, settings: TrainingSettings) -> None:
    low, high = THORAX_PHANTOM["preprocessing"]["hu_range"]
    preprocessing = CTPreprocessing(THORAX_PHANTOM["preprocessing"]["spacing_mm"], (low, high))
    network = build_network(THORAX_PHANTOM, settings.seed)
    began = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % 50 == 0 or step == settings.n_steps:
            _say(f"step {step} of {settings.n_steps}: loss {loss:.3f}, {time.monotonic() - began:.0f} s")

    _say(f"making {len(TRAINING_SEEDS)} phantoms")
    train(network, phantom_examples(TRAINING_SEEDS, preprocessing), settings, report)
    save_model(folder, THORAX_PHANTOM, network)


def _print_scores(folder: Path) -> None:
    model = load_model(folder, device="cpu")
    preprocessing = model.preprocessing
    if not isinstance(preprocessing, CTPreprocessing):
        raise UsageError(folder, got="no CT model", allowed="a model of CT", remedy="name another folder")
    unseen = phantom_examples(UNSEEN_SEEDS, preprocessing)
    dice = evaluate(lambda image: predict(model, image).labels, unseen, model.class_names)
    structures = dice.drop(columns="background")
    _say("| class | mean Dice | lowest |\n|---|---|---|")
    for name, values in dice.items():
        _say(f"| {name} | {values.mean():.3f} | {values.min():.3f} |")
    _say(f"| **mean of the {structures.shape[1]} structures** | {structures.mean().mean():.3f} | |")
    _say(f"\n{len(dice)} unseen phantoms, seeds {UNSEEN_SEEDS[0]} to {UNSEEN_SEEDS[-1]}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the shipped model again, or print its scores."""
    parser = argparse.ArgumentParser(prog="python -m agg2exp_core.training", description=main.__doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=Path, metavar="FOLDER", help="train, and write the model here")
    task.add_argument("--evaluate", type=Path, metavar="FOLDER", help="print the Dice of the model here")
    parser.add_argument("--steps", type=int, default=1500, help="updates of the weights (default 1500)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, patches and augmentation")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU; part of what is repeatable")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        if options.evaluate is not None:
            _print_scores(options.evaluate)
        else:
            x, y, z = THORAX_PHANTOM["windows"]["shape"]
            _make(options.out, TrainingSettings((x, y, z), options.steps, 2, 1e-2, seed=options.seed))
    except Agg2ExpError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
