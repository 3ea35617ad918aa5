"""A DICOMweb service: who asks, and how results are stored there."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

from agg2exp_core.dicom.fileio import quiet
from agg2exp_core.errors import UsageError

USER_VARIABLE, PASSWORD_VARIABLE = "AGG2EXP_PACS_USER", "AGG2EXP_PACS_PASSWORD"
_TIMEOUT_S = 60.0


def web_client(url: str, option: str) -> DICOMwebClient:
    """Return a client of a service; user and password, where it asks for them, are in the environment.

    Parameters
    ----------
    url : str
        Root of the service.
    option : str
        Which gave the address, for messages.

    Raises
    ------
    UsageError
        If the address is none, or holds a password, which would be recorded with it.
    """
    if not re.match(r"https?://[^/]", url):
        raise UsageError(
            option,
            got=f"{url!r}",
            allowed="the http:// or https:// address of a DICOMweb service",
            remedy="give its root, such as http://pacs:8042/dicom-web",
        )
    if re.match(r"https?://[^/]*@", url):
        raise UsageError(
            option,
            got="an address with a user in it",
            allowed="an address alone",
            remedy=f"set {USER_VARIABLE} and {PASSWORD_VARIABLE}",
        )
    session = requests.Session()
    if os.environ.get(USER_VARIABLE):
        session.auth = (os.environ[USER_VARIABLE], os.environ.get(PASSWORD_VARIABLE, ""))
    return DICOMwebClient(url, session=session, timeout=_TIMEOUT_S)


def store_objects(url: str, objects: Sequence[Dataset]) -> None:
    """Store objects in a PACS (STOW-RS); one that is there already stays as it is or is replaced.

    Raises
    ------
    UsageError
        If it cannot be reached, or does not take all of them.
    """
    client = web_client(url, "--store-to")
    with quiet():
        try:
            answer = client.store_instances(list(objects))
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else type(error).__name__
            raise _not_stored(f"the answer {status}") from error
    refused = len(answer.get("FailedSOPSequence", []))
    if refused:
        raise _not_stored(f"{refused} of {len(objects)} objects refused")


def _not_stored(got: str) -> UsageError:
    return UsageError(
        "--store-to",
        got=got,
        allowed="a PACS that takes segmentations and parametric maps by STOW-RS",
        remedy=f"check the address, {USER_VARIABLE} and {PASSWORD_VARIABLE}, and what it accepts",
    )
