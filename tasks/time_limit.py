"""A stage that takes longer than it may is ended with its process: nothing else ends code that hangs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)

Late = Callable[[str, str], None]
"""Given the scan and the reason, in the thread of a timer."""

_listeners: list[Late] = []


@contextmanager
def ending(late: Late) -> Iterator[None]:
    """Have a stage that takes too long reported, while the context lasts."""
    _listeners.append(late)
    try:
        yield
    finally:
        _listeners.remove(late)


@contextmanager
def within(seconds: Callable[[], float], scan_id: str, stage: str) -> Iterator[None]:
    """Give a stage some seconds, where somebody wants to hear if it takes longer."""
    if not _listeners:
        yield
        return
    limit_s = seconds()

    def tell() -> None:
        reason = f"{stage} took longer than its limit of {limit_s:,.0f} s, and was ended"
        _log.error("%s: %s", scan_id, reason)
        for late in list(_listeners):
            late(scan_id, reason)

    timer = threading.Timer(limit_s, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
