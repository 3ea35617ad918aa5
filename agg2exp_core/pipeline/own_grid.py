"""What a model segments in a volume, on the volume's own grid: there any two models can be compared."""

from __future__ import annotations

from agg2exp_core.prediction import predict
from agg2exp_core.types import LabelVolume, SegmentationModel, Volume
from agg2exp_core.volumes import prepared, resample


def segment_volume(
    volume: Volume, model: SegmentationModel
) -> tuple[LabelVolume, dict[str, dict[str, float]]]:
    """Return the labels ``[X, Y, Z]`` on the volume's grid, and the signs of doubt on the model's.

    Labels are brought there by the nearest voxel; where the model did not look they are background.

    Raises
    ------
    ScanError, ModelError
        If the volume is not what the model expects, cannot be preprocessed for it, or does not fit it.
    """
    scan = prepared(volume, model, "volume")
    prediction = predict(model, scan)
    labels = resample(prediction.labels, scan.grid, volume.grid, interpolation="nearest")
    return labels, {sign: dict(values) for sign, values in prediction.doubt.items()}
