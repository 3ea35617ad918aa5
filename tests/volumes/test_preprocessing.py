import json
import logging

import numpy as np
import psutil
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LambdaD,
    LoadImaged,
    NormalizeIntensityd,
    OneOf,
    Orientation,
    Orientationd,
    RandFlipd,
    ScaleIntensity,
    ScaleIntensityd,
    Spacingd,
)

from agg2exp_core.errors import ModelError, ScanError, UsageError
from agg2exp_core.types import Grid, Volume
from agg2exp_core.volumes import CTPreprocessing, MonaiPreprocessing, preprocess, read_nifti, resample

from .grids import oblique, oriented, plane

pytestmark = [  # MONAI's own, when it makes loaders and transforms by their defaults
    pytest.mark.filterwarnings("ignore:.*NvImgCodecPydicomReader"),
    pytest.mark.filterwarnings("ignore:.*Orientationd.__init__.labels:FutureWarning"),
]


def hu(grid, source):
    """A plane through the world, 0 in the middle of `source`, within the range of CT."""
    return 3.0 * (plane(grid) - plane(source).mean())


def volume_on(grid, values=None):
    values = hu(grid, grid) if values is None else values
    return Volume(values.astype(np.float32), grid, "0" * 64, "scan.nii.gz")


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LIA", "SAR"])
@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 3.0), (0.8, 1.2, 5.0)])
def test_ct_stays_where_it_is_in_the_world(axcodes, spacing_mm):
    grid = oriented(axcodes, spacing_mm, (20.0, -30.0, 40.0), (16, 14, 12))
    image, affine = CTPreprocessing()(volume_on(grid))
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    model_grid = Grid(tuple(image.shape[1:]), affine)
    np.testing.assert_allclose(affine[:3, :3], np.eye(3) * 1.5, atol=1e-6)  # RAS, isotropic
    wanted = (hu(model_grid, grid) + 1024) / 2048
    inner = (slice(4, -4),) * 3  # the border repeats the last voxel, which no plane does
    np.testing.assert_allclose(image[0].numpy()[inner], wanted[inner], atol=2e-6)


def test_oblique_ct():
    grid = oblique()
    image, affine = CTPreprocessing(spacing_mm=2.0)(volume_on(grid))
    model_grid = Grid(tuple(image.shape[1:]), affine)
    np.testing.assert_allclose(model_grid.spacing_mm, (2.0, 2.0, 2.0))
    wanted = (hu(model_grid, grid) + 1024) / 2048
    inner = (slice(3, -3),) * 3
    np.testing.assert_allclose(image[0].numpy()[inner], wanted[inner], atol=2e-6)


def test_ct_range_is_clipped_and_scaled():
    grid = oriented("RAS", (1.5, 1.5, 1.5), shape=(2, 2, 2))
    values = np.array([-3000, -1024, -512, 0, 512, 1024, 1025, 3000.0]).reshape(2, 2, 2)
    image, _ = CTPreprocessing()(volume_on(grid, values))
    assert image.flatten().tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    image, _ = CTPreprocessing(hu_range=(0.0, 1024.0))(volume_on(grid, values))
    assert image.flatten().tolist() == [0, 0, 0, 0, 0.5, 1, 1, 1]


def test_ct_leaves_the_volume_alone():
    volume = volume_on(oriented("RAS", (1.5, 1.5, 1.5)))
    before = volume.values.copy()
    CTPreprocessing()(volume)
    np.testing.assert_array_equal(volume.values, before)


def test_no_hounsfield_units():
    grid = oriented("RAS")
    with pytest.raises(ScanError, match="holds no negative value, so it is not in Hounsfield units"):
        preprocess(volume_on(grid, np.abs(plane(grid))), CTPreprocessing())


def test_a_field_of_view_beyond_memory_is_refused_before_it_is_made():
    grid = oriented("RAS", (400.0, 400.0, 400.0), shape=(64, 64, 64))
    before = psutil.Process().memory_info().rss
    for preprocessing in (CTPreprocessing(), MonaiPreprocessing([Spacingd("image", (1.5, 1.5, -1))], {})):
        with pytest.raises(ScanError, match=r"field of view of .* GB of memory"):
            preprocessing(volume_on(grid))
    assert psutil.Process().memory_info().rss - before < 100e6


def test_settings_are_checked_and_described():
    assert json.loads(json.dumps(CTPreprocessing().describe()))["hu_range"] == [-1024.0, 1024.0]
    assert CTPreprocessing().describe() != CTPreprocessing(spacing_mm=3.0).describe()
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(UsageError, match="spacing_mm"):
            CTPreprocessing(spacing_mm=wrong)
    for empty in ((0.0, 0.0), (1.0, 0.0), (0.0, np.inf)):
        with pytest.raises(UsageError, match="hu_range"):
            CTPreprocessing(hu_range=empty)


def test_real_ct(real_data):
    volume = read_nifti(real_data / "ct_abdomen/ct.nii.gz")
    image, affine = CTPreprocessing()(volume)
    assert image.shape == (1, 243, 201, 223)
    assert (float(image.min()), float(image.max())) == (0.0, 1.0)
    np.testing.assert_allclose(np.diag(affine), [1.5, 1.5, 1.5, 1.0])


def test_loaders_have_nothing_to_do_wherever_they_stand():
    volume = volume_on(oriented("LPS"))
    scale = ScaleIntensityd("image")
    plain = MonaiPreprocessing([scale], {})(volume)[0]
    nested = Compose([LoadImaged("image"), Compose([EnsureChannelFirstd("image"), scale])])
    loaded = MonaiPreprocessing(nested, {})(volume)[0]
    assert plain.shape == (1, 12, 13, 14)
    assert torch.equal(plain, loaded)


def test_the_affine_follows_the_transforms():
    volume = volume_on(oriented("LPS", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)))
    preprocessing = MonaiPreprocessing([Orientationd("image", "RAS", labels=None)], {"axcodes": "RAS"})
    image, affine = preprocessing(volume)
    back = resample(
        image[0].numpy(),
        Grid(tuple(image.shape[1:]), affine),
        volume.grid,
        interpolation="nearest",
        outside=-1,
    )
    np.testing.assert_array_equal(back, volume.values)
    assert affine[0, 0] > 0 > volume.grid.affine[0, 0]
    assert preprocessing.describe() == {"kind": "monai", "axcodes": "RAS"}


def test_lazy_transforms_are_done_at_once():
    volume = volume_on(oriented("LPS"))
    transforms = [
        Spacingd("image", (2.0,) * 3, lazy=True),
        Orientationd("image", "RAS", labels=None, lazy=True),
    ]
    image, affine = MonaiPreprocessing(transforms, {})(volume)
    eager = [Spacingd("image", (2.0,) * 3), Orientationd("image", "RAS", labels=None)]
    wanted, wanted_affine = MonaiPreprocessing(eager, {})(volume)
    assert torch.equal(image, wanted)
    np.testing.assert_array_equal(affine, wanted_affine)


def test_transforms_cannot_reach_the_volume():
    volume = volume_on(oriented("RAS"))
    before = volume.values.copy()
    MonaiPreprocessing([LambdaD("image", lambda x: x.zero_())], {})(volume)
    np.testing.assert_array_equal(volume.values, before)


@pytest.mark.parametrize(
    ("transforms", "got"),
    [
        ([RandFlipd("image", prob=1.0)], "random transform RandFlipd"),
        ([OneOf([ScaleIntensityd("image")])], "random transform OneOf"),
        ([ScaleIntensityd(["image", "label"])], "ScaleIntensityd on image, label"),
        ([ScaleIntensityd("scan")], "ScaleIntensityd on scan"),
        ([ScaleIntensity()], "ScaleIntensity on no named key"),
        ([Orientation("RAS", labels=None)], "Orientation on no named key"),
    ],
)
def test_unfit_transforms(transforms, got):
    with pytest.raises(ModelError, match=got):
        MonaiPreprocessing(transforms, {})


def test_a_key_that_may_be_missing_is_not_needed():
    transform = ScaleIntensityd(["image", "label"], allow_missing_keys=True)
    assert MonaiPreprocessing([transform], {})(volume_on(oriented("RAS")))[0].shape == (1, 12, 13, 14)


def test_a_transform_that_fails_names_itself(caplog):
    def fail(x):
        raise ValueError("no brain\nin here")

    preprocessing = MonaiPreprocessing([NormalizeIntensityd("image"), LambdaD("image", fail)], {})
    with caplog.at_level(logging.DEBUG), pytest.raises(ScanError, match="transform Lambdad fails") as caught:
        preprocessing(volume_on(oriented("RAS")))
    assert "no brain in here" in str(caught.value)
    assert str(caught.value).startswith("scan.nii.gz: ")


@pytest.mark.parametrize(
    "transform",
    [LambdaD("image", lambda x: x.as_tensor(), track_meta=False), LambdaD("image", lambda x: x[0])],
)
def test_a_result_without_affine_or_channel(transform):
    with pytest.raises(ModelError, match="MetaTensor"):
        MonaiPreprocessing([transform], {})(volume_on(oriented("RAS")))


@pytest.mark.parametrize(
    ("bundle", "shape"), [("meshnet_gwm", (1, 200, 200, 260)), ("meshnet_subcortical", (1, 164, 163, 223))]
)
def test_real_bundles_on_the_real_brain(real_data, bundle, shape):
    config = ConfigParser()
    config.read_config(real_data / "models" / bundle / "configs/inference.json")
    transforms = config.get_parsed_content("preprocessing")
    volume = read_nifti(real_data / "brain_t1/t1.nii.gz")
    image, affine = MonaiPreprocessing(transforms, {"transforms": config.get("preprocessing")})(volume)
    assert image.shape == shape
    back = resample(
        image[0].numpy(), Grid(shape[1:], affine), volume.grid, interpolation="linear", outside=np.nan
    )
    kept = np.isfinite(back)
    np.testing.assert_allclose(back[kept] * 255, volume.values[kept], atol=1e-4)
    assert volume.values[~kept].max() <= 0.2 * 255  # what was cropped is background
    assert kept.mean() > 0.25


def test_same_pipeline_as_monai_from_the_file(real_data):
    config = ConfigParser()
    config.read_config(real_data / "models/meshnet_gwm/configs/inference.json")
    path = real_data / "brain_t1/t1.nii.gz"
    wanted = config.get_parsed_content("preprocessing")({"image": str(path)})["image"]
    image, affine = MonaiPreprocessing(config.get_parsed_content("preprocessing"), {})(read_nifti(path))
    assert torch.equal(image, wanted.as_tensor())
    np.testing.assert_allclose(affine, wanted.affine.numpy())
