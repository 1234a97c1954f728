"""Parameters of the configuration: default, description, unit, source and bounds in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import Field
from pydantic.fields import FieldInfo

T = TypeVar("T")

PURE_NUMBER = "1"
"""Unit of a number without dimension."""


@dataclass(frozen=True)
class Description:
    """What a field of a configuration says of itself.

    Attributes
    ----------
    text : str
        One or a few sentences.
    unit : str
        ``"1"`` for a pure number, empty where there is nothing to measure (names, switches).
    source : str
        Reference of the default; empty where it is a choice.
    """

    text: str
    unit: str
    source: str

    def __str__(self) -> str:
        """All in one: ``text [unit] (source)``."""
        unit = f" [{self.unit}]" if self.unit not in ("", PURE_NUMBER) else ""
        return f"{self.text}{unit}" + (f" ({self.source})" if self.source else "")


def parameter(
    default: T,
    description: str,
    *,
    unit: str = "",
    source: str = "",
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> T:
    """Return a field of a pydantic model that knows what it is.

    Parameters
    ----------
    default : object
        Value of the field where none is given.
    description : str
        What it is.
    unit : str
        As `astropy.units` reads it, or one of the field's own (``comoving Mpc/h``, ``ln``, ...);
        ``"1"`` for a pure number, empty where there is nothing to measure.
    source : str
        Where the default is from.
    gt, ge, lt, le : float, optional
        Bounds of the value.

    Returns
    -------
    pydantic.fields.FieldInfo
        Typed as the default, as `pydantic.Field` is.
    """
    return Field(
        default,
        description=description,
        json_schema_extra={"unit": unit, "source": source},
        gt=gt,
        ge=ge,
        lt=lt,
        le=le,
    )


def describe(field: FieldInfo) -> Description:
    """Return what a field made by `parameter` says of itself; empty texts for any other."""
    extra = field.json_schema_extra
    stated = extra if isinstance(extra, dict) else {}
    return Description(
        field.description or "", str(stated.get("unit", "")), str(stated.get("source", ""))
    )
