"""Folders by nnU-Net's own planner and trainer, tiny and with random weights, and its own predictor."""

import json
import os
from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

LABELS = {"background": 0, "left": 1, "right": 2, "middle": 3}
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": 3}
SHAPE = (26, 40, 34)
"""Of the scan, in the file's order X, Y, Z."""


def write_scan(path: Path, *, seed: int = 0, codes: str = "LPS") -> Path:
    """Smooth random HU at another spacing than the model's, with a border of zeros that is cropped away."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 2.0)
    hu = np.round(700 * noise / np.abs(noise).max()).astype(np.int16)
    hu[:3], hu[:, :, -2:] = 0, 0
    signs = [-1.0 if code in "LPI" else 1.0 for code in codes]
    affine = np.diag([*np.multiply(signs, [2.5, 1.9, 2.0]), 1.0])
    affine[:3, 3] = [7.0, -11.0, 5.0]
    nib.save(nib.Nifti1Image(hu, affine), path)
    return path


@contextmanager
def _environment(root: Path):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("raw", "preprocessed", "results"):
            patch.setenv(f"nnUNet_{name}", str(root / name))
        patch.setenv("nnUNet_compile", "false")
        patch.setenv("nnUNet_n_proc_DA", "1")
        yield


def plan(root: Path, *, labels=None, channels=("CT",), spacing=(2.0, 2.0, 2.0), residual=False) -> dict:
    """Let nnU-Net plan for a data set of one case whose fingerprint is made up."""
    from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner as default
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners

    raw, preprocessed = root / "raw" / "Dataset297_Tiny", root / "preprocessed" / "Dataset297_Tiny"
    for folder in (raw / "imagesTr", raw / "labelsTr", preprocessed):
        folder.mkdir(parents=True)
    for c in range(len(channels)):
        write_scan(raw / "imagesTr" / f"case_{c:04}.nii.gz")
    write_scan(raw / "labelsTr" / "case.nii.gz")
    labels = labels or LABELS
    dataset = {
        "channel_names": {str(c): name for c, name in enumerate(channels)},
        "labels": labels,
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    if labels is REGIONS:
        dataset["regions_class_order"] = [1, 2, 3]
    (raw / "dataset.json").write_text(json.dumps(dataset))
    of_channel = {
        "mean": 40.0,
        "median": 30.0,
        "std": 220.0,
        "min": -900.0,
        "max": 900.0,
        "percentile_99_5": 600.0,
        "percentile_00_5": -650.0,
    }
    fingerprint = {
        "spacings": [list(spacing)],
        "shapes_after_crop": [[32, 38, 23]],
        "foreground_intensity_properties_per_channel": {str(c): of_channel for c in range(len(channels))},
        "median_relative_size_after_cropping": 0.9,
    }
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    kind = residual_encoder_unet_planners.ResEncUNetPlanner if residual else default.ExperimentPlanner
    with _environment(root):
        planner = kind(297)
        planner.UNet_base_num_features = 4
        planner.UNet_max_features_3d = 8
        planner.plan_experiment()
    return json.loads((preprocessed / f"{planner.plans_identifier}.json").read_text())


def train(root: Path, plans: dict, folds=(0,)) -> Path:
    """Let nnU-Net's trainer build the network and write its checkpoints, without training it."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    dataset = json.loads((root / "raw" / "Dataset297_Tiny" / "dataset.json").read_text())
    name = f"nnUNetTrainer__{plans['plans_name']}__3d_fullres"
    folder = root / "results" / "Dataset297_Tiny" / name
    cases = (
        root / "preprocessed" / "Dataset297_Tiny" / plans["configurations"]["3d_fullres"]["data_identifier"]
    )
    cases.mkdir(exist_ok=True)
    (cases / "case.b2nd").touch()  # the trainer asks in which format its cases are
    with _environment(root):
        for fold in folds:
            torch.manual_seed(100 + int(fold))
            arguments = {**json.loads(json.dumps(plans)), "continue_training": False}
            trainer = nnUNetTrainer(arguments, "3d_fullres", fold, dataset, torch.device("cpu"))
            trainer.initialize()
            _spread_logits(trainer.network)
            trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            trainer._best_ema = np.float64(0.5)
            trainer.current_epoch = 3
            trainer.save_checkpoint(os.fspath(folder / f"fold_{fold}" / "checkpoint_final.pth"))
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


def _spread_logits(network: torch.nn.Module) -> None:
    """Random weights in which every class wins somewhere."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape) * (0.3 if parameter.dim() > 1 else 0.1))
        for name, parameter in network.named_parameters():
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.1 * torch.randn(parameter.shape))


def predicted(
    folder: Path, scan_file: Path, folds: Sequence[int], mirroring: bool = False, step: float = 0.5
) -> tuple[np.ndarray, torch.Tensor, np.ndarray]:
    """What nnU-Net makes of a scan: its image, its logits in single precision, and its labels as they are.

    The predictor adds tiles up in half precision, with half-precision weights: in the corners of a scan,
    where weights are tiny, their rounding alone moves logits. So its sums are also made in single precision.
    """
    from nnunetv2.inference import predict_from_raw_data
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    predictor = predict_from_raw_data.nnUNetPredictor(
        step, use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(folder), folds)
    configuration, plans = predictor.configuration_manager, predictor.plans_manager
    preprocessor = configuration.preprocessor_class(verbose=False)
    image, _, _ = preprocessor.run_case([str(scan_file)], None, plans, configuration, predictor.dataset_json)
    as_it_is = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(image))
    labels = predictor.label_manager.convert_logits_to_segmentation(as_it_is.float())
    with pytest.MonkeyPatch.context() as patch:
        single = partial(compute_gaussian, dtype=torch.float32)
        patch.setattr(predict_from_raw_data, "compute_gaussian", single)
        patch.setattr(torch, "half", torch.float32)
        single = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(image))
    assert single.dtype == torch.float32
    return image, single, np.asarray(labels)
