"""How a network is trained, in numbers and in names of what the trainer uses."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

_FLAGS = {"none": (False, False), "symmetries": (True, False), "components": (True, True)}
"""``augment`` and ``redraw`` of a stored configuration."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Attributes
    ----------
    batch_size, max_epochs : int
        Clusters a step, and passes over the training clusters.
    microbatch_size : int or None
        A step's clusters pass the network so many at a time, and their gradients are added: for
        less memory. None: all at once.
    min_steps : int
        More passes, if that is what it takes to make so many steps: for small surveys.
    patience : int or None
        Stop after this many epochs without a lower validation loss.
    learning_rate : float
        Highest learning rate.
    schedule : str
        One of `icmass.training.schedules.SCHEDULES`.
    loss : str
        One of `icmass.training.losses.LOSSES`.
    kernel_l2 : float
        Sum of squares of all kernels times this is added to the loss (Keras' ``l2``).
    weight_decay : float
        Decoupled decay (AdamW).
    ema_decay : float
        Decay per step of the running mean of the weights that is kept; 0: the weights themselves.
    augmentation : str
        One of `icmass.training.augmentations.AUGMENTATIONS`, drawn anew at every epoch.
    precision : {"no", "bf16"}
        Mixed precision of the training steps, where the device has it.
    adam_eps : float
        Epsilon of Adam.
    max_gradient : float
        A step's gradient that is longer is made as short as this; 0: left as it is.
    compiled : bool
        Whether training steps on a GPU go through ``torch.compile``. That costs a minute or so
        before the first step.
    """

    batch_size: int
    max_epochs: int
    patience: int | None
    learning_rate: float
    microbatch_size: int | None = None
    min_steps: int = 0
    schedule: str = "constant"
    loss: str = "squared"
    kernel_l2: float = 0.0
    weight_decay: float = 0.0
    ema_decay: float = 0.0
    augmentation: str = "none"
    precision: Literal["no", "bf16"] = "no"
    adam_eps: float = 1e-8
    max_gradient: float = 0.0
    compiled: bool = False

    def epochs(self, n_clusters: int) -> int:
        """Return the most passes over so many training clusters."""
        steps_per_epoch = math.ceil(n_clusters / self.batch_size)
        return max(self.max_epochs, math.ceil(self.min_steps / steps_per_epoch))

    def document(self) -> dict[str, Any]:
        """Return it as it is stored with models and told in checkpoints.

        The augmentation is written as it was before it had a name, ``augment`` and ``redraw``, so
        that trainings of older versions go on; a name that they have not is told besides. What
        came later is written where it is not off, and whether steps are compiled never: it
        changes rounding alone.
        """
        found: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if name == "compiled" or (name == "max_gradient" and not value):
                continue
            if name != "augmentation":
                found[name] = value
                continue
            found |= dict(zip(("augment", "redraw"), _FLAGS.get(value, (True, False)), strict=True))
        return found if self.augmentation in _FLAGS else found | {"augmentation": self.augmentation}
