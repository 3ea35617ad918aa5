"""A prediction as a DICOM Segmentation that refers to its series (PS3.3, A.51)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from agg2exp_core.dicom.codes import category, structure
from agg2exp_core.dicom.fileio import quiet
from agg2exp_core.dicom.references import Author, uid_of
from agg2exp_core.labels import colour_of, readable
from agg2exp_core.types import LabelVolume

SEGMENTATION_SERIES_NUMBER = 9901


def segmentation(
    images: Sequence[Dataset],
    labels: LabelVolume,
    class_names: Sequence[str],
    author: Author,
    identity: str,
) -> Segmentation:
    """Return a prediction as one binary segment for each class that is there, background left out.

    Parameters
    ----------
    images : sequence of Dataset
        The series, in the order of its slices.
    labels : ndarray of integers, shape [X, Y, Z]
        Index of the class of each voxel, on the grid of the series: columns, rows, slices.
    class_names : sequence of str
        The classes, background first.
    author : Author
        Who made it.
    identity : str
        Of the prediction; the same gives objects of the same UID.

    Raises
    ------
    ValueError
        If there is nothing but background.
    """
    present = [index for index in np.unique(labels).tolist() if index]
    number_of = np.zeros(len(class_names), np.uint8 if len(present) < 256 else np.uint16)
    number_of[present] = np.arange(1, len(present) + 1)
    names = (str(images[0].SeriesInstanceUID), "segmentation", identity)
    with quiet():
        return Segmentation(
            source_images=images,
            pixel_array=number_of[labels.transpose(2, 1, 0)],  # [slices, rows, columns]
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _description(number, class_names[index], author) for number, index in enumerate(present, 1)
            ],
            series_instance_uid=uid_of(*names, "series"),
            series_number=SEGMENTATION_SERIES_NUMBER,
            sop_instance_uid=uid_of(*names),
            instance_number=1,
            content_label="PREDICTION",
            content_description=f"Segmented by {author.model}"[:64],
            series_description="agg2exp segmentation",
            **author.equipment(),
        )


def _description(number: int, name: str, author: Author) -> SegmentDescription:
    code, side = structure(name)
    red, green, blue = bytes.fromhex(colour_of(name).lstrip("#"))
    description = SegmentDescription(
        segment_number=number,
        segment_label=readable(name)[:64],
        segmented_property_category=category(name),
        segmented_property_type=code,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=author.algorithm(author.model),
        display_color=CIELabColor.from_rgb(red, green, blue),
    )
    if side is not None:
        property_type = description.SegmentedPropertyTypeCodeSequence[0]
        property_type.SegmentedPropertyTypeModifierCodeSequence = Items([CodedConcept.from_code(side)])
    return description
