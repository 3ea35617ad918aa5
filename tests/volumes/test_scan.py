import numpy as np
import pytest
import torch

from agg2exp_core.errors import ModelError, ScanError, UsageError
from agg2exp_core.types import SegmentationModel, WindowSettings
from agg2exp_core.volumes import CTPreprocessing, MonaiPreprocessing, load_scan, read_nifti, write_nifti

from .grids import oriented, plane


def model(preprocessing=None, n_channels=1):
    return SegmentationModel(
        network=torch.nn.Conv3d(n_channels, 2, 1),
        class_names=("background", "body"),
        n_channels=n_channels,
        windows=WindowSettings(shape=(8, 8, 8)),
        preprocessing=preprocessing or CTPreprocessing(),
        device=torch.device("cpu"),
        dtype=torch.float32,
        name="test",
        fingerprint="0",
    )


@pytest.fixture
def path(tmp_path):
    grid = oriented("LPS", (2.0, 2.0, 3.0), (9.0, 8.0, -7.0))
    write_nifti(tmp_path / "head.nii.gz", plane(grid) * 10 - 500, grid)
    return tmp_path / "head.nii.gz"


def test_a_scan_knows_where_it_came_from(path):
    scan = load_scan(path, model())
    volume = read_nifti(path)
    image, affine = CTPreprocessing()(volume)
    assert scan.scan_id == "head"
    assert torch.equal(scan.image, image)
    np.testing.assert_array_equal(scan.affine, affine)
    np.testing.assert_array_equal(scan.source.affine, volume.grid.affine)
    assert scan.source.shape == volume.grid.shape
    assert scan.content_hash == volume.content_hash
    assert load_scan(str(path), model(), "case-7").scan_id == "case-7"


def test_refusals(path):
    with pytest.raises(ModelError, match="C = 2"):
        load_scan(path, model(n_channels=2))
    with pytest.raises(UsageError, match="--scan-id"):
        load_scan(path, model(), "a/b")
    with pytest.raises(ScanError, match="nothing there"):
        load_scan(path.with_name("none.nii.gz"), model())
    with pytest.raises(ScanError, match="constant"):
        load_scan(path, model(CTPreprocessing(hu_range=(5000.0, 6000.0))))


@pytest.mark.parametrize("make", [lambda x: x / 0.0, lambda x: x[:, :0]])
def test_images_that_no_model_can_read(path, make):
    class Broken:
        def __call__(self, volume):
            image, affine = MonaiPreprocessing([], {})(volume)
            return make(image), affine

        def describe(self):
            return {}

    with pytest.raises(ScanError, match="empty, constant or not finite"):
        load_scan(path, model(Broken()))
