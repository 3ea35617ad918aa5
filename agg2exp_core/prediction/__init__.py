"""Logits of the whole sliding-window model, what it segments, and how far it doubts that."""

from agg2exp_core.prediction.predicting import predict, prediction_bytes, runner_up
from agg2exp_core.prediction.sliding import as_image, sliding_logits, spatial_shape

__all__ = ["as_image", "predict", "prediction_bytes", "runner_up", "sliding_logits", "spatial_shape"]
