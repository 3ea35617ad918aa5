"""A Zarr store in which nothing is seen before it is complete: data first, metadata last."""

from __future__ import annotations

from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync
from zarr.storage import WrapperStore

from agg2exp_core.store.root import METADATA


class MetadataLast(WrapperStore[ZarrStore]):
    """Holds back every metadata document until `publish`, and sees none but those; chunks pass through."""

    def __init__(self, store: ZarrStore) -> None:
        super().__init__(store)
        self.held: dict[str, Buffer] = {}

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a document that is held back, or a chunk."""
        return self.held.get(key) if _is_metadata(key) else await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """Say whether a key is there, as this store sees it."""
        return key in self.held if _is_metadata(key) else await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """Hold back a document, or write a chunk."""
        if _is_metadata(key):
            self.held[key] = value
        else:
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Do as `set` unless the key is there."""
        if not await self.exists(key):
            await self.set(key, value)

    def publish(self, *, overwrite: bool = True) -> None:
        """Write the metadata documents, the outermost last; without `overwrite`, those that are not there."""
        write = self._store.set if overwrite else self._store.set_if_not_exists
        for key in sorted(self.held, key=lambda key: -key.count("/")):
            sync(write(key, self.held[key]))


def _is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] == METADATA
