"""Which method finds a planted shortcut: ``python -m benchmarks.planted OUT``.

Phantoms of 8 mm, half of them with a port under the skin. In the *planted* trainings the heart is labelled
where the port is there, in a stated share of the scans (the strength); in the *clean* ones always. On other
phantoms with a port each method then explains the heart, and the port's share of its attribution is compared
between the models. Trainings go on where they stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from agg2exp_core.attribution import attribute
from agg2exp_core.labels import LUNG_LOBES, THORAX_CLASSES
from agg2exp_core.models import load_model
from agg2exp_core.phantom import PhantomCase, make_phantom
from agg2exp_core.prediction import predict
from agg2exp_core.random import generator
from agg2exp_core.training import Example, TrainingConfig, phantom_example, train
from agg2exp_core.types import Mask, SegmentationModel
from agg2exp_core.volumes import CTPreprocessing

SPACING_MM, WINDOW = 8.0, (40, 32, 40)
CLASS_NAMES = ("background", "heart", "lungs", "spine")
HEART = CLASS_NAMES.index("heart")
NETWORKS: dict[str, dict[str, Any]] = {
    "UNet": {"channels": [8, 16, 32, 64], "strides": [2, 2, 2], "num_res_units": 0, "norm": "batch"},
    "SegResNet": {"init_filters": 8, "blocks_down": [1, 1, 1, 1], "blocks_up": [1, 1, 1]},
}
METHODS: dict[str, dict[str, Any]] = {
    "vanilla_gradient": {},
    "smoothgrad": {"n_samples": 5},
    "integrated_gradients": {"n_steps": 10},
    "shapley_semantic": {},
    "shapley_cubes": {"cube_side": 12, "n_samples": 300},
    "kernelshap_cubes": {"cube_side": 12, "n_samples": 300},
}
FIRST_TRAINING, FIRST_VALIDATION, FIRST_TEST = 910_000, 920_000, 930_000
N_BOOTSTRAP = 1000


@dataclass(frozen=True)
class Case:
    """A network and what it is trained on.

    Parameters
    ----------
    network : str
        Of `NETWORKS`.
    strength : float or None
        Share of the scans in which the heart is labelled where the port is, and nowhere else; None where it
        is labelled always, whatever the port.
    """

    network: str
    strength: float | None

    @property
    def name(self) -> str:
        """For tables and folders."""
        return f"{self.network}_{'clean' if self.strength is None else f'planted_{self.strength:g}'}"


@cache
def example(seed: int, *, port: bool, labelled: bool = True) -> tuple[Example, Mask]:
    """Return a phantom with few classes, cut or padded to the window, and the mask of its port."""
    phantom = make_phantom(seed, SPACING_MM, PhantomCase(port=port, unlabelled=None if labelled else "heart"))
    made = phantom_example(f"seed {seed}", phantom, CTPreprocessing(spacing_mm=SPACING_MM))
    labels = torch.zeros_like(made.labels)
    for index, names in enumerate([("heart",), LUNG_LOBES, ("vertebraes",)], 1):
        labels[torch.isin(made.labels, torch.tensor([THORAX_CLASSES.index(name) for name in names]))] = index
    mask = torch.from_numpy(phantom.pathologies.get("port", np.zeros(phantom.grid.shape, bool)))
    image, labels, mask = (_cut(volume) for volume in (made.image[0], labels, mask))
    return Example(made.scan_id, image[None], labels), mask.numpy()


def _cut(volume: torch.Tensor) -> torch.Tensor:
    """Return the middle of a volume at its front in the shape of the window; 0 where it is smaller."""
    cut = volume.new_zeros(WINDOW)
    source, target = [], []
    for axis, (n, size) in enumerate(zip(volume.shape, WINDOW, strict=True)):
        spare = n - size
        start = spare if axis == 1 else spare // 2  # the port is at the front
        source.append(slice(max(start, 0), max(start, 0) + min(n, size)))
        target.append(slice(max(-start, 0), max(-start, 0) + min(n, size)))
    cut[tuple(target)] = volume[tuple(source)]
    return cut


def examples(case: Case, first: int, n: int) -> list[Example]:
    """Return scans of which every second has a port, with the labels of the case."""
    found = []
    for i in range(n):
        port = i % 2 == 0
        follows = case.strength is None or generator("planted", first + i).random() < case.strength
        labelled = case.strength is None or (port if follows else not port)
        found.append(example(first + i, port=port, labelled=labelled)[0])
    return found


def trained(case: Case, folder: Path, n_scans: int, n_steps: int) -> SegmentationModel:
    """Return the model of a case, trained if it is not there."""
    arguments = {"spatial_dims": 3, "in_channels": 1, "out_channels": len(CLASS_NAMES)}
    config = TrainingConfig.model_validate(
        {
            "name": case.name.lower().replace(".", "_"),
            "class_names": list(CLASS_NAMES),
            "network": {"name": case.network, "arguments": {**arguments, **NETWORKS[case.network]}},
            "windows": {"shape": list(WINDOW)},
            "preprocessing": {"spacing_mm": SPACING_MM},
            "data": {
                "kind": "phantoms",
                "training": {"first": FIRST_TRAINING, "n": n_scans},
                "validation": {"first": FIRST_VALIDATION, "n": 4},
            },
            "training": {
                "window_shape": list(WINDOW),
                "n_steps": n_steps,
                "batch_size": 4,
                "learning_rate": 5e-3,
                "augmentation": "gentle",
                "validate_every": max(n_steps // 4, 1),
                "save_every": max(n_steps // 4, 1),
            },
        }
    )
    parts = (examples(case, FIRST_TRAINING, n_scans), examples(case, FIRST_VALIDATION, 4))
    train(config, *parts, folder / case.name, device="cpu")
    return load_model(folder / case.name / "model", "cpu")


def dice(labels: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice of the heart."""
    found, true = labels == HEART, truth == HEART
    return float(2 * (found & true).sum() / max(found.sum() + true.sum(), 1))


def judged(case: Case, model: SegmentationModel, n_test: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each test scan and method: the port's share, concentration and rank, and the Dice."""
    for seed in range(FIRST_TEST, FIRST_TEST + n_test):
        (scan, port), (bare, _) = (example(seed, port=there) for there in (True, False))
        truth = bare.labels.numpy()
        prediction = predict(model, scan.image)
        row = {
            "case": case.name,
            "scan": seed,
            "dice_with_port": dice(prediction.labels, truth),
            "dice_without_port": dice(predict(model, bare.image).labels, truth),
        }
        regions = {name: prediction.mask(name) & ~port for name in prediction.present} | {"port": port}
        for method, params in METHODS.items():
            told = dict.fromkeys(("share", "concentration", "rank"), np.nan)
            for item in attribute(model, scan.image, method, ["heart"], prediction, **params):
                size = np.abs(item.values)
                shares = {name: float(size[mask].sum() / size.sum()) for name, mask in regions.items()}
                dense = {name: share / regions[name].mean() for name, share in shares.items()}
                rank = 1 + sum(value > dense["port"] for value in dense.values())
                told = {"share": shares["port"], "concentration": dense["port"], "rank": rank}
            yield {**row, "method": method, **told}  # without a heart there is nothing to explain


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for each planted model and method how far the port stands out from the clean model's."""
    lines = []
    explained = rows.dropna(subset=["share"])
    for (case, method), found in explained.groupby(["case", "method"], sort=False):
        network, kind, *_ = str(case).split("_")
        clean = explained[(explained["case"] == f"{network}_clean") & (explained["method"] == method)]
        if kind == "clean" or clean.empty:
            continue
        low, high = _interval(found["share"].to_numpy(), clean["share"].to_numpy(), f"{case} {method}")
        lines.append(
            {
                "model": case,
                "method": method,
                "AUROC": _auroc(found["share"].to_numpy(), clean["share"].to_numpy()),
                "95% interval": f"{low:.2f} to {high:.2f}",
                "times its volume": found["concentration"].mean(),
                "clean model": clean["concentration"].mean(),
                "rank": found["rank"].mean(),
                "clean rank": clean["rank"].mean(),
            }
        )
    return pd.DataFrame(lines)


def _auroc(planted: np.ndarray, clean: np.ndarray) -> float:
    """Return how often a scan of the planted model has more than one of the clean model; half for a tie."""
    apart = planted[:, None] - clean
    return float(((apart > 0) + 0.5 * (apart == 0)).mean())


def _interval(planted: np.ndarray, clean: np.ndarray, address: str) -> tuple[float, float]:
    """Return the bootstrap interval of the AUROC over scans."""
    rng = generator("planted bootstrap", address)
    draws = [
        _auroc(rng.choice(planted, len(planted)), rng.choice(clean, len(clean))) for _ in range(N_BOOTSTRAP)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def cases(networks: Sequence[str], strengths: Sequence[float]) -> list[Case]:
    """Return the clean and the planted models of each network."""
    return [Case(network, strength) for network in networks for strength in (None, *strengths)]


def main() -> None:
    """Train, explain, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for models and tables")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--strengths", nargs="+", type=float, default=[1.0, 0.9, 0.75])
    parser.add_argument("--scans", type=int, default=48, help="training scans")
    parser.add_argument("--steps", type=int, default=600, help="updates of the weights")
    parser.add_argument("--tests", type=int, default=12, help="test scans")
    arguments = parser.parse_args()
    found = []
    for case in cases(arguments.networks, arguments.strengths):
        model = trained(case, arguments.out, arguments.scans, arguments.steps)
        found += list(judged(case, model, arguments.tests))
        rows = pd.DataFrame(found)
        rows.to_csv(arguments.out / "planted.csv", index=False)
    dices = rows.groupby("case", sort=False)[["dice_with_port", "dice_without_port"]].mean()
    print(dices.to_string(float_format="{:.3f}".format))
    print(table(rows).to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
