"""How good a segmentation without truth is: Dice predicted from a model's doubt."""

from agg2exp_core.quality.calibration import QualityMap, fit_maps, fit_margins, read_quality
from agg2exp_core.quality.corruptions import CORRUPTIONS, corrupt
from agg2exp_core.quality.overlap import dice_of

__all__ = ["CORRUPTIONS", "QualityMap", "corrupt", "dice_of", "fit_maps", "fit_margins", "read_quality"]
