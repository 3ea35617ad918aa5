"""Training of segmentation networks on scans with a known truth, and their scores.

`config` says what is trained and how, `examples` makes data, `sampling` cuts patches, `loop` is the training
with its `checkpoints` and `curves`, `fitting` what a segmenter learns in it, `evaluation` gives Dice by scan
and class, `saving` writes what `agg2exp_core.models.load_model` reads. Pre-training of an encoder shares the
loop: `pretraining_config`, `images`, `views`, `proxies`, `pretraining`.
"""

from agg2exp_core.errors import UsageError

try:
    from agg2exp_core.training.config import TrainingConfig, packaged_configs, read_config
    from agg2exp_core.training.evaluation import evaluate
    from agg2exp_core.training.examples import Example, examples_of, phantom_example, phantom_examples
    from agg2exp_core.training.fitting import train
    from agg2exp_core.training.images import images_of
    from agg2exp_core.training.networks import build_network
    from agg2exp_core.training.pretraining import build_proxies, pretrain
    from agg2exp_core.training.pretraining_config import PretrainingConfig, read_pretraining_config
    from agg2exp_core.training.saving import save_model
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
