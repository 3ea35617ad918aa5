"""Zarr on S3: one connection pool a process, and keys that are claimed in one step."""

from __future__ import annotations

import atexit
import os
from functools import cache
from http import HTTPStatus

import s3fs
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from zarr.core.buffer import Buffer
from zarr.core.sync import sync
from zarr.storage import FsspecStore

from agg2exp_core.s3 import s3_files


class S3Store(FsspecStore):
    """A Zarr store on S3 in which one of many writers wins a key."""

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a key unless it is there: a conditional write, RFC 9110 section 13.1.2.

        A server that refuses conditional writes, or that ignores them, is asked first and written to then:
        of two writers within that moment the last one wins.
        """
        if await self.exists(key):
            return
        path = f"{self.path}/{key}"
        try:
            await self.fs._pipe_file(path, value.to_bytes(), mode="create")
        except OSError as error:
            match _status(error):
                case HTTPStatus.PRECONDITION_FAILED:  # another writer was first
                    return
                case HTTPStatus.CONFLICT:  # another writer is at it
                    await self.set_if_not_exists(key, value)
                case HTTPStatus.NOT_IMPLEMENTED:
                    await self.set(key, value)
                case _:
                    raise


def _status(error: OSError) -> int | None:
    """Return the status with which a server answered, or None if it did not."""
    if isinstance(error.__cause__, ClientError):
        return int(error.__cause__.response["ResponseMetadata"]["HTTPStatusCode"])
    return None


def s3_endpoint() -> str | None:
    """Return the address of the S3 server that the environment names, or None for Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def s3_store(endpoint: str | None, path: str) -> S3Store:
    """Return the Zarr store at ``bucket/prefix``."""
    return S3Store(_filesystem(endpoint, os.getpid()), path=path)


@cache
def _filesystem(endpoint: str | None, process: int) -> s3fs.S3FileSystem:
    """Return the one connection pool of a process to an endpoint, open until the process ends."""
    filesystem = s3_files(asynchronous=True, endpoint_url=endpoint)

    def close() -> None:
        if filesystem._s3 is not None and os.getpid() == process:
            sync(filesystem._s3.close(), timeout=5)

    atexit.register(close)
    return filesystem
