"""An attribution as a DICOM Parametric Map that refers to its series (PS3.3, A.75)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from agg2exp_core.dicom.codes import OWN_SCHEME
from agg2exp_core.dicom.fileio import quiet
from agg2exp_core.dicom.references import Author, uid_of
from agg2exp_core.labels import readable
from agg2exp_core.types import FloatVolume

MAP_SERIES_NUMBER = 9902
ATTRIBUTION = Code("ATTRIBUTION", OWN_SCHEME, "Contribution of the voxel to the explained output")


@dataclass(frozen=True)
class MapContent:
    """What a map shows: an attribution, and what it explains.

    Parameters
    ----------
    class_name : str
        The class.
    label : str
        Of the method and its parameters.
    method : str
        Its name.
    identity : str
        Of the attribution; the same gives objects of the same UID.
    """

    class_name: str
    label: str
    method: str
    identity: str


def parametric_map(
    images: Sequence[Dataset], values: FloatVolume, explained: MapContent, author: Author
) -> ParametricMap:
    """Return an attribution as a map of 32-bit reals, which are its values.

    Parameters
    ----------
    images : sequence of Dataset
        The series, in the order of its slices.
    values : ndarray of float32, shape [X, Y, Z]
        On the grid of the series: columns, rows, slices.
    explained : MapContent
        What it explains.
    author : Author
        Whose output it explains.
    """
    pixels = np.ascontiguousarray(values.transpose(2, 1, 0), np.float32)  # [slices, rows, columns]
    peak = float(np.abs(pixels).max()) or 1.0
    name = readable(explained.class_name)
    mapping = RealWorldValueMapping(
        lut_label="ATTRIBUTION",
        lut_explanation=f"{explained.method} of {name}, no unit"[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(-peak, peak),
        slope=1.0,
        intercept=0.0,
        quantity_definition=ATTRIBUTION,
    )
    names = (str(images[0].SeriesInstanceUID), "attribution", explained.label, explained.identity)
    with quiet():
        made = ParametricMap(
            source_images=images,
            pixel_array=pixels,
            series_instance_uid=uid_of(*names, "series"),
            series_number=MAP_SERIES_NUMBER,
            sop_instance_uid=uid_of(*names),
            instance_number=1,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[VOILUTTransformation(window_center=0.0, window_width=2 * peak)],
            derivation=codes.DCM.Saliency,
            content_label="ATTRIBUTION",
            content_description=f"{explained.method}: why {name}?"[:64],
            series_description=f"agg2exp {explained.label}: {name}"[:64],
            **author.equipment(),
        )
    made.Laterality = ""  # of type 2C: the standard wants it said even where nobody knows it
    return made
