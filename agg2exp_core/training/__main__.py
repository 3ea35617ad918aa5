"""Train a model, score one, or make it small enough to hand out, without a server.

``python -m agg2exp_core.training thorax_phantom --out FOLDER`` trains what a configuration says;
``… --evaluate MODEL`` prints the Dice of a model on its test scans; ``… --ship MODEL FOLDER`` writes a model
that was trained by it with weights in float16, which are loaded into float32.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from agg2exp_core.errors import Agg2ExpError, UsageError
from agg2exp_core.models import load_model
from agg2exp_core.prediction import predict
from agg2exp_core.training.config import WEIGHTS_FILE, TrainingConfig, read_config
from agg2exp_core.training.evaluation import evaluate
from agg2exp_core.training.examples import examples_of
from agg2exp_core.training.fitting import fit_network
from agg2exp_core.training.saving import save_model
from agg2exp_core.training.settings import TrainSettings


def _train(config: TrainingConfig, folder: Path) -> None:
    began, n_steps = time.monotonic(), config.training.n_steps

    def report(step: int, loss: float) -> None:
        if step % 50 == 0 or step == n_steps:
            _say(f"step {step} of {n_steps}: loss {loss:.3f}, {time.monotonic() - began:.0f} s")

    _say("preparing the scans")
    result = fit_network(TrainSettings(config=config, out=str(folder), device="cpu"), report)
    _say(f"{result.summary} {result.path}")


def _print_scores(config: TrainingConfig, ref: str) -> None:
    model = load_model(ref, device="cpu")
    with TemporaryDirectory() as cache:
        scans = examples_of(config, "test", cache)
        dice = evaluate(lambda image: predict(model, image).labels, scans, config.class_names)
    structures = dice.drop(columns=config.class_names[0])
    _say("| class | mean Dice | lowest |\n|---|---|---|")
    for name, values in dice.items():
        _say(f"| {name} | {values.mean():.3f} | {values.min():.3f} |")
    _say(f"| **mean of the {structures.shape[1]} structures** | {structures.mean().mean():.3f} | |")
    _say(f"\n{len(dice)} unseen scans, {dice.index[0]} to {dice.index[-1]}")


def _ship(config: TrainingConfig, ref: str, folder: Path) -> None:
    model = load_model(ref, device="cpu")
    if model.class_names != config.class_names or model.name != config.name:
        raise UsageError(
            ref,
            got=f"the model {model.name}",
            allowed=f"one that the configuration {config.name} trained",
            remedy="name its own configuration",
        )
    save_model(folder, config.description(), model.network, torch.float16)
    n_bytes = (folder / WEIGHTS_FILE).stat().st_size
    _say(f"{folder}: {n_bytes / 1e6:.1f} MB")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a model, print its scores, or write it with weights in float16."""
    parser = argparse.ArgumentParser(prog="python -m agg2exp_core.training", description=main.__doc__)
    parser.add_argument("config", help="a packaged configuration by name, or a YAML file")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=Path, metavar="FOLDER", help="train, and write everything here")
    task.add_argument("--evaluate", metavar="MODEL", help="print the Dice of this model on the test scans")
    task.add_argument(
        "--ship", nargs=2, metavar=("MODEL", "FOLDER"), help="write this model here, its weights in float16"
    )
    parser.add_argument("--threads", type=int, default=2, help="of the CPU; part of what is repeatable")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        config = read_config(options.config)
        if options.evaluate is not None:
            _print_scores(config, options.evaluate)
        elif options.ship is not None:
            _ship(config, options.ship[0], Path(options.ship[1]))
        else:
            _train(config, options.out)
    except Agg2ExpError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
