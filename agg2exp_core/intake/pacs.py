"""A PACS over DICOMweb: series found by QIDO-RS, fetched by WADO-RS."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from agg2exp_core.dicom import quiet
from agg2exp_core.dicom.web import web_client

_ANY_SYNTAX = (("application/dicom", "*"),)
_COUNT = "NumberOfSeriesRelatedInstances"


@dataclass(frozen=True)
class Query:
    """Which series of a PACS.

    Parameters
    ----------
    since, until : date
        First and last day of the studies.
    modality : str
        Of the series.
    body_part : str, optional
        As the scanner names it: CHEST, for one.
    """

    since: date
    until: date
    modality: str = "CT"
    body_part: str | None = None


class PacsSource:
    """The series of a PACS that a query finds.

    Parameters
    ----------
    url : str
        Root of the DICOMweb service. User and password, where it asks for them, are in the environment.
    query : Query
        Which series.

    Raises
    ------
    UsageError
        If the address holds a password, which would be recorded with it.
    """

    def __init__(self, url: str, query: Query) -> None:
        self._client = web_client(url, "SOURCE")
        self._query = query
        self._patients: dict[str, str] = {}

    def listing(self) -> dict[str, str]:
        """Return the number of instances of each series."""
        query = self._query
        of_studies = {
            "StudyDate": f"{query.since:%Y%m%d}-{query.until:%Y%m%d}",
            "ModalitiesInStudy": query.modality,
        }
        of_series = {"Modality": query.modality}
        if query.body_part is not None:
            of_series["BodyPartExamined"] = query.body_part
        found = {}
        with quiet():
            search = partial(self._client.search_for_studies, search_filters=of_studies)
            for study, about in _all_pages(search, "StudyInstanceUID").items():
                self._patients[study] = str(about.get("PatientID") or "").strip()
                search = partial(
                    self._client.search_for_series, study, search_filters=of_series, fields=[_COUNT]
                )
                for series, dataset in _all_pages(search, "SeriesInstanceUID").items():
                    found[f"{study}/{series}"] = str(dataset.get(_COUNT, "unknown"))
        return found

    def whose(self, unit: str) -> tuple[str, str, str]:
        """Return patient, study and series of a listed unit."""
        study_uid, series_uid = unit.split("/")
        return self._patients[study_uid], study_uid, series_uid

    @contextmanager
    def fetch(self, unit: str) -> Iterator[list[Path]]:
        """Have the instances of a series, under names of ours."""
        study_uid, series_uid = unit.split("/")
        with tempfile.TemporaryDirectory() as folder:
            paths: list[Path] = []
            with quiet():
                for dataset in self._client.iter_series(study_uid, series_uid, media_types=_ANY_SYNTAX):
                    paths.append(Path(folder, f"{len(paths):06d}.dcm"))
                    dataset.save_as(paths[-1])
            yield paths


def _all_pages(search: Callable[..., list[dict[str, Any]]], keyword: str) -> dict[str, Dataset]:
    """Return what a search finds by its UIDs; servers that know no offset send the same page again."""
    found: dict[str, Dataset] = {}
    while True:
        page = [Dataset.from_json(answer) for answer in search(offset=len(found))]
        new = {str(dataset[keyword].value): dataset for dataset in page}
        if new.keys() <= found.keys():
            return found
        found |= new
