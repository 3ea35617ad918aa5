"""A training that is killed in the middle: ``python -m tests.training.victim FOLDER STEP [pretrain]``."""

import os
import signal
import sys

from agg2exp_core.training import pretrain, train
from tests.training.tiny import TINY, TINY_ENCODER, balls, textures


def main() -> None:
    folder, last = sys.argv[1], int(sys.argv[2])

    def die(step: int, loss: float) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    if sys.argv[3:] == ["pretrain"]:
        pretrain(TINY_ENCODER, textures(3), textures(4)[3:], folder, device="cpu", on_step=die)
    else:
        train(TINY, balls(4), balls(6)[4:], folder, device="cpu", on_step=die)


if __name__ == "__main__":
    main()
