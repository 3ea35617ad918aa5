"""What Dask is sent to reduce a scan: where to read, and no voxels."""

import cloudpickle
import numpy as np
import pytest

from agg2exp_core.importance import dask_sums
from agg2exp_core.labels import BACKGROUND
from agg2exp_core.pipeline.reduce import regions_of
from agg2exp_core.store import open_store
from agg2exp_core.store.writer import HiddenArray

SHAPE = (512, 512, 512)
CLASS_NAMES = (BACKGROUND, *(f"class {n}" for n in range(16)))


class SentError(Exception):
    """Ends a reduction where it would begin to compute."""


@pytest.fixture
def scan_store(tmp_path):
    """A scan of which the metadata are there, and not one voxel."""
    scan_store = open_store(tmp_path / "store", create=True).scan("s0001")

    def lay(path, dtype, *, streamed=False, **own):
        known = {"checksum": path, **own}
        dims = ("x", "y", "z")
        array = HiddenArray(
            scan_store.root, scan_store._path(path), SHAPE, np.dtype(dtype), dims, known, streamed=streamed
        )
        array.publish()

    lay("labels/prediction/0", np.uint8)
    lay("labels/lesion/0", np.uint8)
    for label, own in (
        ("prediction", {"class_names": CLASS_NAMES, "identity": "i"}),
        ("lesion", {"kind": "extra"}),
    ):
        document = {"zarr_format": 3, "node_type": "group", "attributes": {"agg2exp": own}}
        scan_store.root.put_json(scan_store._path("labels", label, "zarr.json"), document)
    for name in CLASS_NAMES:
        lay(f"attributions/sg/{name}", np.float32, streamed=True, identity="i", info={})
    return scan_store


def test_the_graph_of_a_large_scan_is_small(scan_store, monkeypatch):
    sent = []

    def compute(sums, n_voxels):
        graph = {
            key: task for part in (*sums.values(), n_voxels) for key, task in part.__dask_graph__().items()
        }
        sent.append(len(cloudpickle.dumps(graph)))
        raise SentError

    monkeypatch.setattr(dask_sums, "compute", compute)
    attributions = {name: scan_store.attribution("sg", name) for name in CLASS_NAMES}
    with pytest.raises(SentError):
        dask_sums.sums_from_arrays(attributions, regions_of(scan_store))
    assert 10_000 < sent[0] <= 1_000_000
