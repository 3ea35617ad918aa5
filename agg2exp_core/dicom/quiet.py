"""Libraries that quote a file's values or addresses when they warn are not heard: those name people."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.config import disable_value_validation

_TALKATIVE = ("pydicom", "dicomweb_client", "urllib3")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and the loggers of pydicom and of the DICOMweb client while the context lasts."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
