"""DICOM: which files are a series, which series are wanted, their slices in order, Hounsfield units.

Names, dates and numbers of patients are not read, except the three identifiers that a keyed hash replaces.
"""

from agg2exp_core.dicom.fileio import files_below, files_in, holds_dicom, is_dicom, quiet
from agg2exp_core.dicom.headers import Header, Identity, LaterError, NotWantedError, Stray, read_headers
from agg2exp_core.dicom.pixels import read_hu
from agg2exp_core.dicom.pseudonyms import KEPT, IdentityKey, age_band, kept_metadata
from agg2exp_core.dicom.series import Rules, Series, group
from agg2exp_core.dicom.stack import Stack, stack

__all__ = [
    "KEPT",
    "Header",
    "Identity",
    "IdentityKey",
    "LaterError",
    "NotWantedError",
    "Rules",
    "Series",
    "Stack",
    "Stray",
    "age_band",
    "files_below",
    "files_in",
    "group",
    "holds_dicom",
    "is_dicom",
    "kept_metadata",
    "quiet",
    "read_headers",
    "read_hu",
    "stack",
]
