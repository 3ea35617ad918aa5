"""What results for a PACS refer to: the images of the series, and who made the results."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from highdicom import AlgorithmIdentificationSequence
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from agg2exp_core.dicom.fileio import open_dicom
from agg2exp_core.dicom.stack import Stack
from agg2exp_core.errors import ScanError

MANUFACTURER = "agg2exp"

_NEEDED = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("FrameOfReferenceUID", "PatientID"),
)
_MAY_BE_EMPTY = (
    *("PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
"""What a copy may leave out and every object of a patient has to say (type 2 of the standard)."""


@dataclass(frozen=True)
class Author:
    """The model that results are of.

    Parameters
    ----------
    model : str
        Its name.
    fingerprint : str
        Hex digest of its weights and settings.
    """

    model: str
    fingerprint: str

    def algorithm(self, name: str) -> AlgorithmIdentificationSequence:
        """Return what says that an algorithm made a result, and which."""
        return AlgorithmIdentificationSequence(
            name=name[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=self.fingerprint[:16],
            source=MANUFACTURER,
        )

    def equipment(self) -> dict[str, Any]:
        """Return what identifies the maker of an object, by highdicom's names of it."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.model[:64],
            "device_serial_number": self.fingerprint[:64],
            "software_versions": version(MANUFACTURER),
        }


def source_images(stack: Stack) -> list[Dataset]:
    """Return the images of a series without their pixels, in the order of its slices.

    They say that they are as thick as they are apart, as the voxels of results are.
    Here, and nowhere else, a patient's identity is read: it goes into the objects that refer to these images.

    Raises
    ------
    ScanError
        If an image lacks what an object that refers to it has to say.
    """
    images: list[Dataset] = []
    for header in stack.headers:
        with open_dicom(header.path) as stream:
            image = dcmread(stream, stop_before_pixels=True, force=True)
            missing = [keyword for keyword in _NEEDED if not str(image.get(keyword) or "").strip()]
            if missing:
                raise ScanError(
                    header.path.parent,
                    got=f"images without {', '.join(missing)}",
                    allowed="a series as the PACS holds it",
                    remedy="export it from the PACS, not from a de-identified copy",
                )
            for keyword in _MAY_BE_EMPTY:
                if keyword not in image:
                    setattr(image, keyword, None)
            # objects that refer to it repeat names: in UTF-8, whatever sets of characters it switches between
            image.decode()
            image.SpecificCharacterSet = "ISO_IR 192"
            image.SliceThickness = image.SpacingBetweenSlices = stack.grid.spacing_mm[2]
            images.append(image)
    return images


def uid_of(*parts: str) -> UID:
    """Return the UID of what parts identify: always the same, so that nothing is stored twice."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")  # from 128 bits, as PS3.5, B.2 makes them
