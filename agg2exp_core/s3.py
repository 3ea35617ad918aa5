"""Clients of S3, all with the same patience."""

from __future__ import annotations

import os
from typing import Any

import s3fs

from agg2exp_core.errors import UsageError


def s3_files(**options: Any) -> s3fs.S3FileSystem:
    """Return a file system on S3 that sees at once what others write.

    A request is made up to three times, or as often as ``AWS_MAX_ATTEMPTS`` says in the environment; endpoint
    and credentials come from there as well, or from the AWS files.

    Parameters
    ----------
    **options
        More of `s3fs.S3FileSystem`.

    Raises
    ------
    UsageError
        If that variable is no number.
    """
    attempts = os.environ.get("AWS_MAX_ATTEMPTS", "3")
    if not attempts.isdecimal() or int(attempts) < 1:
        raise UsageError(
            "AWS_MAX_ATTEMPTS", got=repr(attempts), allowed="1 or more", remedy="correct it, or leave it out"
        )
    retries = {"mode": "standard", "total_max_attempts": int(attempts)}
    client = {"connect_timeout": 3, "read_timeout": 60, "retries": retries}
    return s3fs.S3FileSystem(
        skip_instance_cache=True, use_listings_cache=False, config_kwargs=client, **options
    )
