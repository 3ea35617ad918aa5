"""What a model segments in a volume, on the volume's own grid: there any two models can be compared."""

from __future__ import annotations

from agg2exp_core.errors import ScanError
from agg2exp_core.prediction import predict
from agg2exp_core.types import Grid, LabelVolume, SegmentationModel, Volume
from agg2exp_core.volumes import resample


def segment_volume(
    volume: Volume, model: SegmentationModel
) -> tuple[LabelVolume, dict[str, dict[str, float]]]:
    """Return the labels ``[X, Y, Z]`` on the volume's grid, and the signs of doubt on the model's.

    Labels are brought there by the nearest voxel; where the model did not look they are background.

    Raises
    ------
    ScanError, ModelError
        If the volume cannot be preprocessed for the model, or does not fit it.
    """
    image, affine = model.preprocessing(volume)
    model.check_channels(image, volume.path)
    if not image.numel() or bool(image.min() == image.max()):
        raise ScanError(
            volume.path,
            got="an empty or constant image after preprocessing",
            allowed="intensities that vary",
            remedy="check that the scan shows what the model was trained on, in its units",
        )
    prediction = predict(model, image)
    x, y, z = prediction.labels.shape
    own = Grid((x, y, z), affine)
    labels = resample(prediction.labels, own, volume.grid, interpolation="nearest")
    return labels, {sign: dict(values) for sign, values in prediction.doubt.items()}
