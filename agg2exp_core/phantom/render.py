"""From a seed to a scan: the body put into the scanner, painted, blurred and made noisy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from agg2exp_core.errors import out_of_range
from agg2exp_core.phantom.canvas import Canvas
from agg2exp_core.phantom.case import Phantom, PhantomCase
from agg2exp_core.phantom.failures import HIGH_HU, LOW_HU, plant
from agg2exp_core.phantom.lungs import draw_lungs
from agg2exp_core.phantom.mediastinum import draw_mediastinum, heart_shape
from agg2exp_core.phantom.pathology import collapsing, consolidate_collapsed, draw_pathologies
from agg2exp_core.phantom.patient import Patient, sample_patient
from agg2exp_core.phantom.shapes import Space
from agg2exp_core.phantom.shortcut import with_port, without_label
from agg2exp_core.phantom.skeleton import draw_skeleton
from agg2exp_core.phantom.trunk import draw_cavity, draw_trunk
from agg2exp_core.types import Grid

POINT_SPREAD_MM = 1.0


def make_phantom(seed: int, spacing_mm: float = 4.0, case: PhantomCase | None = None) -> Phantom:
    """Return the phantom of a seed.

    Equal arguments give equal voxels. The body of a seed is the same at every spacing; only the
    noise is drawn anew.

    Parameters
    ----------
    seed : int
        Not negative; which patient.
    spacing_mm : float
        Edge length of a voxel, 0.5 to 8 mm.
    case : PhantomCase, optional
        What is special about it; the same seed with another case is the same person.

    Raises
    ------
    UsageError
        If the seed or the spacing is out of range.
    """
    if seed < 0:
        raise out_of_range("seed", seed, "0 or more")
    if not 0.5 <= spacing_mm <= 8:
        raise out_of_range("spacing_mm", spacing_mm, "0.5 to 8")
    # a stream for each part, so that one that draws more or less leaves the others as they are
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(5)]
    patient = sample_patient(streams[0])
    collapse = case.severity if case is not None and case.failure == "collapsed_lobe" else 0.0
    if case is not None:
        patient = collapsing(case.shape(patient), collapse)
    space, grid = _field_of_view(patient, spacing_mm)
    canvas = Canvas(space)
    draw_trunk(canvas, patient, streams[1])
    draw_cavity(canvas, patient, streams[1])
    heart, chambers = heart_shape(space, patient)
    draw_lungs(canvas, patient, heart, streams[1])
    draw_mediastinum(canvas, patient, heart, chambers)
    draw_skeleton(canvas, patient)
    if case is None:
        return Phantom(_scanned(canvas, patient, streams[2]), canvas.labels, grid, patient.metadata())
    consolidate_collapsed(canvas, collapse)
    masks = draw_pathologies(canvas, case.pathologies, streams[3])
    metadata = {
        **patient.metadata(),
        "pathologies": ", ".join(sorted(case.pathologies)),
        "failure": case.failure,
        "severity": case.severity if case.failure else 0.0,
    }
    phantom = Phantom(_scanned(canvas, patient, streams[2]), canvas.labels, grid, metadata, masks)
    if case.port:
        phantom = with_port(phantom)
    if case.unlabelled is not None:
        phantom = without_label(phantom, case.unlabelled)
    return phantom if case.failure is None else plant(phantom, case.failure, case.severity, streams[4])


def _field_of_view(patient: Patient, spacing_mm: float) -> tuple[Space, Grid]:
    """Choose the field of view: from above the thyroid gland to below the last rib."""
    scale = np.array(patient.scale)
    breasts_mm = 18 if patient.sex == "F" else 0
    side = 157 + patient.fat_mm + patient.margin_mm[0]
    low = np.array([-side, -121 - patient.fat_mm - patient.margin_mm[1], -196]) * scale
    high = np.array([side, 105 + patient.fat_mm + breasts_mm + patient.margin_mm[1], 142]) * scale
    nx, ny, nz = (int(n) for n in np.round((high - low) / spacing_mm))
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = low + spacing_mm / 2
    turn = Rotation.from_euler("xyz", patient.rotation_deg, degrees=True).as_matrix()
    to_body = np.eye(4)
    to_body[:3, :3] = np.diag(1 / scale) @ turn.T
    to_body[:3, 3] = -to_body[:3, :3] @ np.array(patient.shift_mm)
    return Space((nx, ny, nz), to_body @ affine, spacing_mm), Grid((nx, ny, nz), affine)


def _scanned(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> NDArray[np.int16]:
    spacing_mm = canvas.space.spacing_mm
    sharp = gaussian_filter(canvas.hu, POINT_SPREAD_MM / spacing_mm)
    noise = gaussian_filter(rng.standard_normal(canvas.space.shape, np.float32), 0.5)
    noise *= np.float32(patient.noise_hu / noise.std())
    return np.asarray(np.clip(np.rint(sharp + noise), LOW_HU, HIGH_HU), np.int16)
