"""Training of segmentation networks on scans with a known truth, and their scores.

`config` says what is learnt and how, `examples` makes data, `sampling` and `views` cut patches, `loop` is
the training with its `curves` and what `saving` leaves on disk; what is learnt in it is a `segmentation`, or
the proxy tasks of an encoder in `pretraining`. `fitting` does all that as `settings` ask for it. `evaluation`
and `scoring` give Dice by scan and class, `comparison` sets models beside each other.
"""

from agg2exp_core.errors import UsageError

try:
    from agg2exp_core.training.config import (
        PretrainingConfig,
        TrainingConfig,
        packaged_configs,
        read_config,
        read_pretraining_config,
    )
    from agg2exp_core.training.evaluation import evaluate
    from agg2exp_core.training.examples import (
        Example,
        examples_of,
        images_of,
        phantom_example,
        phantom_examples,
    )
    from agg2exp_core.training.networks import build_network
    from agg2exp_core.training.pretraining import build_proxies, pretrain
    from agg2exp_core.training.saving import save_model
    from agg2exp_core.training.segmentation import train
except ModuleNotFoundError as missing:
    raise UsageError(
        "training",
        got=f"no module {missing.name}",
        allowed="an installation with the extra 'train'",
        remedy="run: pip install 'agg2exp[train]'",
    ) from missing

__all__ = [
    "Example",
    "PretrainingConfig",
    "TrainingConfig",
    "build_network",
    "build_proxies",
    "evaluate",
    "examples_of",
    "images_of",
    "packaged_configs",
    "phantom_example",
    "phantom_examples",
    "pretrain",
    "read_config",
    "read_pretraining_config",
    "save_model",
    "train",
]
