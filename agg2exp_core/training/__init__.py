"""Training of segmentation networks on scans with a known truth, and their scores.

`phantom_examples` makes data, `train` fits a MONAI network with Dice and cross-entropy, `evaluate`
gives Dice by scan and class, `save_model` writes what `agg2exp_core.models.load_model` reads.
"""

from agg2exp_core.training.evaluation import evaluate
from agg2exp_core.training.examples import Example, draw_batch, phantom_example, phantom_examples
from agg2exp_core.training.fitting import TrainingSettings, build_network, save_model, train

__all__ = [
    "Example",
    "TrainingSettings",
    "build_network",
    "draw_batch",
    "evaluate",
    "phantom_example",
    "phantom_examples",
    "save_model",
    "train",
]
