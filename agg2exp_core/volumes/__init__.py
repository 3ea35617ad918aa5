"""Volumes: NIfTI and DICOM in, preprocessing for a model, regions on its grid, and back to a scan's space.

What a file may say wrong is refused here, at the edge, with one sentence; the rooms below see only finite
float32 volumes on grids whose axes span the space.
"""

from agg2exp_core.volumes.discovery import ScanRef, find_scans, scan_ids
from agg2exp_core.volumes.nifti_reader import content_hash, read_nifti
from agg2exp_core.volumes.nifti_writer import write_nifti
from agg2exp_core.volumes.preprocessing import CTPreprocessing, MonaiPreprocessing
from agg2exp_core.volumes.reading import (
    count_channels,
    load_scan,
    prepared,
    preprocess,
    read_for,
    read_series,
    read_volume,
    volume_of,
)
from agg2exp_core.volumes.resampling import overlap_share, resample
from agg2exp_core.volumes.rois import load_rois, read_names, roi_files
from agg2exp_core.volumes.stamps import Stamp, keyed, source_of, stamp_of, state_of

__all__ = [
    "CTPreprocessing",
    "MonaiPreprocessing",
    "ScanRef",
    "Stamp",
    "content_hash",
    "count_channels",
    "find_scans",
    "keyed",
    "load_rois",
    "load_scan",
    "overlap_share",
    "prepared",
    "preprocess",
    "read_for",
    "read_names",
    "read_nifti",
    "read_series",
    "read_volume",
    "resample",
    "roi_files",
    "scan_ids",
    "source_of",
    "stamp_of",
    "state_of",
    "volume_of",
    "write_nifti",
]
