"""What a Swin encoder learns from without labels: inpainting, rotation, contrastive coding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.losses.contrastive import ContrastiveLoss
from monai.networks.nets.swin_unetr import SwinUNETR

from agg2exp_core.training.pretraining_config import PretrainingSettings
from agg2exp_core.training.views import Views

N_TURNS = 4
CODE_LENGTH = 512


class Answers(NamedTuple):
    """What the heads say of N views.

    Parameters
    ----------
    whole : torch.Tensor, shape [N, C, *window]
        The view without its holes.
    turns : torch.Tensor, shape [N, 4]
        Logits of the number of quarter turns.
    codes : torch.Tensor, shape [N, 512]
        Alike for views of one patch.
    """

    whole: torch.Tensor
    turns: torch.Tensor
    codes: torch.Tensor


class ProxyTasks(torch.nn.Module):
    """A Swin encoder with a head for each task on its deepest features.

    The heads are those of the paper: one transposed convolution that rebuilds the view, and a linear layer
    each for the turns and the code. The latter two read the mean over the deepest tokens (the published
    code reads one corner token each).

    Parameters
    ----------
    network : SwinUNETR
        Whose encoder is taken.
    n_channels : int
        Of the images.
    """

    def __init__(self, network: SwinUNETR, n_channels: int) -> None:
        super().__init__()
        self.encoder = network.swinViT
        self._normalize = network.normalize
        width, step = 2 * self.encoder.num_features, network.patch_size * 2**self.encoder.num_layers
        self.inpainting = torch.nn.ConvTranspose3d(width, n_channels, kernel_size=step, stride=step)
        self.rotation = torch.nn.Linear(width, N_TURNS)
        self.coding = torch.nn.Linear(width, CODE_LENGTH)

    def forward(self, seen: torch.Tensor) -> Answers:
        """Return the answers to views ``[N, C, *window]``."""
        deepest = self.encoder(seen, self._normalize)[-1]  # [N, width, *window / 32]
        overall = deepest.mean(dim=(2, 3, 4))  # [N, width]
        return Answers(self.inpainting(deepest), self.rotation(overall), self.coding(overall))


def task_losses(answers: Answers, views: Views, settings: PretrainingSettings) -> dict[str, torch.Tensor]:
    """Return the loss of each task: mean absolute error, cross-entropy, and that of SimCLR."""
    first, second = answers.codes.float().chunk(2)
    return {
        "inpainting": torch.nn.functional.l1_loss(answers.whole.float(), views.whole),
        "rotation": torch.nn.functional.cross_entropy(answers.turns.float(), views.turns),
        "contrastive": ContrastiveLoss(settings.temperature)(first, second),
    }


def total(losses: dict[str, torch.Tensor], settings: PretrainingSettings) -> torch.Tensor:
    """Return the weighted sum."""
    return (
        settings.inpainting_weight * losses["inpainting"]
        + settings.rotation_weight * losses["rotation"]
        + settings.contrastive_weight * losses["contrastive"]
    )
