"""What other gas physics does to a model's masses, as measured and kept beside the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from icmass.errors import InputError
from icmass.run.layout import TRANSFER


@dataclass(frozen=True)
class PhysicsBias:
    """How far the mass scale of a model moves with the gas physics.

    The rows of `icmass transfer` are kept in the folder of the model that they are of.

    Attributes
    ----------
    lowest, highest : float
        Least and largest mean of ln M500c predicted - true over the physics tested.
    where_lowest, where_highest : str
        The surveys of these.
    n : int
        Number of surveys tested.
    """

    lowest: float
    highest: float
    where_lowest: str
    where_highest: str
    n: int

    @classmethod
    def of_model(cls, folder: Path) -> PhysicsBias | None:
        """Return that of the model in a folder; None where nobody has measured it.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        file = Path(folder) / TRANSFER
        if not file.is_file():
            return None
        try:
            rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
            bias = sorted((float(row["bias_lnm"]), str(row["test"])) for row in rows)
            (low, where_low), (high, where_high) = bias[0], bias[-1]
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            what = f"damaged ({type(error).__name__})"
            raise InputError(what, file=file, hint="remove it, or measure it again") from None
        return cls(low, high, where_low, where_high, len(bias))

    def sentence(self) -> str:
        """Return what it means for a mass, in words."""
        return (
            f"Gas physics: on {self.n} kinds of it the mean of ln M predicted - true is "
            f"{self.lowest:+.2f} ({self.where_lowest}) to {self.highest:+.2f} "
            f"({self.where_highest}); the errors given do not hold that, and no photon tells. "
            "`icmass calibrate` sets the scale by lensing masses."
        )
