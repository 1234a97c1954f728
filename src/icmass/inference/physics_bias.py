"""What other gas physics does to a model's masses, as measured and kept beside the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        rows = read_rows(folder)
        if rows is None:
            return None
        try:
            bias = sorted((float(row["bias_lnm"]), str(row["test"])) for row in rows)
            (low, where_low), (high, where_high) = bias[0], bias[-1]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise _damaged(folder, error) from None
        return cls(low, high, where_low, where_high, len(bias))

    def sentence(self) -> str:
        """Return what it means for a mass, in words."""
        return (
            f"Gas physics: on {self.n} kinds of it the mean of ln M predicted - true is "
            f"{self.lowest:+.2f} ({self.where_lowest}) to {self.highest:+.2f} "
            f"({self.where_highest}); the errors given do not hold that, and no photon tells. "
            "`icmass calibrate` sets the scale by lensing masses."
        )


def read_rows(folder: Path) -> list[dict[str, Any]] | None:
    """Return the rows of `icmass transfer` kept in a model's folder; None if there are none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    file = Path(folder) / TRANSFER
    if not file.is_file():
        return None
    try:
        return list(json.loads(file.read_text(encoding="utf-8"))["rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from None


def _damaged(folder: Path, error: Exception) -> InputError:
    what = f"damaged ({type(error).__name__})"
    return InputError(what, file=Path(folder) / TRANSFER, hint="remove it, or measure it again")
