"""The root of a store: keys and bytes, on a local path or on S3, through one interface."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import s3fs
from botocore.exceptions import BotoCoreError, ClientError
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore

from agg2exp_core.errors import StoreError, out_of_range
from agg2exp_core.s3 import s3_files
from agg2exp_core.store.keys import METADATA, canonical_json, json_ready


@dataclass(frozen=True, eq=False)
class Root:
    """Where a store lies. Every write of a key is atomic, on a file system and on S3.

    Parameters
    ----------
    uri : str
        Local path or ``s3://bucket/prefix``, without a slash at its end.
    at : callable
        From a relative path to the Zarr store that is rooted there.
    """

    uri: str
    at: Callable[[str], ZarrStore]

    def reader(self, path: str = "") -> ZarrStore:
        """Return the Zarr store at a relative path for reading; it makes no folder."""
        return self.at(path).with_read_only(True)

    @contextmanager
    def guard(self, path: str = "") -> Iterator[None]:
        """Turn what a file system or S3 says into a StoreError that names the place."""
        try:
            yield
        except (OSError, BotoCoreError, ClientError) as error:
            raise StoreError(
                f"{self.uri}/{path}".rstrip("/"),
                got=f"{type(error).__name__}: {error}",
                allowed="a folder or an S3 bucket that can be read and written",
                remedy="check the path, its permissions and free space, "
                "or for S3 the bucket, AWS_ENDPOINT_URL and the credentials",
            ) from error

    def get(self, key: str) -> bytes | None:
        """Return the bytes of a key, or None if there is no such key."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the bytes of several keys, fetched together."""

        async def fetch() -> list[bytes | None]:
            store, prototype = self.reader(), default_buffer_prototype()
            try:
                found = await asyncio.gather(*(store.get(key, prototype) for key in keys))
            except FileNotFoundError:  # the root itself is not there
                found = [None] * len(keys)
            return [buffer.to_bytes() if buffer is not None else None for buffer in found]

        with self.guard(keys[0] if len(keys) == 1 else ""):
            return sync(fetch())

    def put(self, key: str, value: bytes, *, overwrite: bool = True) -> None:
        """Write one key; without `overwrite`, only if it is not there yet."""
        buffer = default_buffer_prototype().buffer.from_bytes(value)
        store = self.at("")
        with self.guard(key):
            sync(store.set(key, buffer) if overwrite else store.set_if_not_exists(key, buffer))

    def get_json(self, key: str) -> Any | None:
        """Return the JSON value of a key, or None if there is no such key."""
        value = self.get(key)
        return None if value is None else json.loads(value)

    def put_json(self, key: str, value: object, *, overwrite: bool = True) -> None:
        """Write one key as canonical JSON."""
        self.put(key, canonical_json(json_ready(value)), overwrite=overwrite)

    def claim_json(self, key: str, value: object) -> Any:
        """Write one key as canonical JSON if nobody did, and return what it then holds."""
        self.put_json(key, value, overwrite=False)
        return self.get_json(key)

    def children(self, path: str) -> list[str]:
        """Return the names right under a path, sorted."""
        store = self.reader()
        if isinstance(store, LocalStore):
            with self.guard(path), suppress(FileNotFoundError, NotADirectoryError):
                return sorted(os.listdir(store.root / path))  # noqa: PTH208 - names, not a path for each
            return []

        async def listed() -> list[str]:
            return sorted({name async for name in store.list_dir(path) if name})

        with self.guard(path):
            return sync(listed())

    def keys(self, path: str) -> list[str]:
        """Return all keys under a path, relative to it, at any depth: on S3, a request for each thousand."""
        store = self.reader()
        if isinstance(store, LocalStore):  # whose own listing asks the disk about each file
            with self.guard(path):
                top = f"{store.root}/{path}"
                walked = ((folder[len(top) + 1 :], names) for folder, _, names in os.walk(top))
                return [f"{folder}/{name}" if folder else name for folder, names in walked for name in names]

        async def listed() -> list[str]:
            return [key.removeprefix(f"{path}/") async for key in store.list_prefix(f"{path}/")]

        with self.guard(path):
            return sync(listed())

    def n_bytes(self, path: str) -> int:
        """Return the bytes of all keys under a path."""
        with self.guard(path):
            return sync(self.reader().getsize_prefix(path))

    def nodes(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the metadata documents of the finished Zarr nodes right under a path, by name."""
        names = self.children(path)
        documents = self.get_many([f"{path}/{name}/{METADATA}" for name in names])
        return {name: json.loads(doc) for name, doc in zip(names, documents, strict=True) if doc is not None}

    def delete(self, key: str) -> None:
        """Remove one key, if it is there."""
        self.delete_many([key])

    def delete_many(self, keys: Sequence[str]) -> None:
        """Remove several keys together, as far as they are there."""

        async def gone() -> None:
            store = self.at("")
            await asyncio.gather(*(store.delete(key) for key in keys))

        with self.guard(keys[0] if len(keys) == 1 else ""):
            sync(gone())

    def delete_tree(self, path: str) -> None:
        """Remove a Zarr node and all under it; metadata go first, so that no half of it is ever seen."""
        with self.guard(path):
            self.delete(f"{path}/{METADATA}")
            for name in self.nodes(path):
                self.delete_tree(f"{path}/{name}")
            self.delete_folder(path)

    def delete_folder(self, path: str) -> None:
        """Remove all keys under a path, in any order."""
        with self.guard(path):
            sync(self.at("").delete_dir(path))


def locate(uri: str | Path) -> Root:
    """Return the root at a local path or at ``s3://bucket/prefix``; nothing is read or written yet.

    Raises
    ------
    StoreError
        If the address has another scheme, or names no bucket.
    """
    scheme, separator, rest = str(uri).partition("://")
    if not separator:
        base = Path(uri).expanduser().absolute()
        return Root(str(base), lambda path: LocalStore(base / path))
    prefix = rest.strip("/")
    if scheme != "s3" or not prefix:
        allowed = "a local path or s3://BUCKET/PREFIX"
        raise out_of_range(uri, "no place for a store", allowed, kind=StoreError, remedy="give one of these")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")

    def at(path: str) -> ZarrStore:
        return S3Store(_filesystem(endpoint, os.getpid()), path=f"{prefix}/{path}".rstrip("/"))

    return Root(f"s3://{prefix}", at)


class S3Store(FsspecStore):
    """A Zarr store on S3 in which one of many writers wins a key."""

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a key unless it is there: a conditional write, RFC 9110 section 13.1.2.

        A server that refuses conditional writes, or that ignores them, is asked first and written to then:
        of two writers within that moment the last one wins.
        """
        if await self.get(key, default_buffer_prototype()) is not None:
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


@cache
def _filesystem(endpoint: str | None, process: int) -> s3fs.S3FileSystem:
    """Return the one connection pool of a process to an endpoint, open until the process ends."""
    # several requests at a time for one object would ask for its size first
    filesystem = s3_files(asynchronous=True, endpoint_url=endpoint, max_concurrency=1)

    def close() -> None:
        if filesystem._s3 is not None and os.getpid() == process:
            sync(filesystem._s3.close(), timeout=5)

    atexit.register(close)
    return filesystem
