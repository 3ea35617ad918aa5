"""DICOM series whose every voxel and place is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING_MM = (0.7, 0.9, 2.5)
"""Between rows, columns, slices."""
ORIGIN_LPS = (-40.0, -30.0, -700.0)


def stored_values(n_slices: int = 18, rows: int = 12, columns: int = 10) -> np.ndarray:
    """Unsigned 12-bit values [slices, rows, columns], all slices different."""
    return np.random.default_rng(n_slices).integers(0, 4096, (n_slices, rows, columns), dtype=np.uint16)


def slice_of(pixels: np.ndarray, position: tuple[float, ...], number: int, **tags: object) -> FileDataset:
    """One CT slice; `tags` are set over what it says else, None takes one away."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    said = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "StudyDate": "20260102",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "InstanceNumber": number,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "ImagePositionPatient": list(position),
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": list(SPACING_MM[:2]),
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in {**said, **tags}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def write_series(
    folder: Path,
    stored: np.ndarray | None = None,
    change: Callable[[int, FileDataset], object] = lambda z, dataset: None,
    names: str = "{}.dcm",
    **tags: object,
) -> Path:
    """A series along z, its files named in another order than its slices lie; `change` alters each."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = stored_values() if stored is None else stored
    for z, pixels in enumerate(stored):
        position = (*ORIGIN_LPS[:2], ORIGIN_LPS[2] + z * SPACING_MM[2])
        dataset = slice_of(pixels, position, z + 1, **tags)
        change(z, dataset)
        name = names.format((7 * z + 3) % 1000)
        dataset.save_as(folder / name, enforce_file_format=True)
    return folder
