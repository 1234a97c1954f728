"""Typed JSON documents: read with one clear line for what is damaged, written as they were."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from icmass.errors import InputError


def finite(value: Any) -> Any:
    """Return a document that strict JSON can hold: plain dicts and lists, NaN and inf as None.

    >>> finite({"sigma": np.float64(0.2), "bias": float("nan"), "bins": (1, np.int64(2))})
    {'sigma': 0.2, 'bias': None, 'bins': [1, 2]}
    """
    if isinstance(value, BaseModel):
        return finite(value.model_dump(by_alias=True, exclude_unset=True))
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(finite)]
"""A number, or None where it was not measured or is not finite."""


class Document(BaseModel):
    """A JSON document or a part of one; keys that it does not know are kept.

    Fields stand in the order in which they are written, and those that were not given are not
    written either: what is read and written again is the same.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, populate_by_name=True, protected_namespaces=()
    )

    @classmethod
    def read(cls, file: Path, hint: str) -> Self:
        """Read a file.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be read.
        InputError
            If it is damaged; the line names the field and ends in `hint`.
        """
        try:
            return cls.of(json.loads(file.read_text(encoding="utf-8")), file, hint)
        except (ValueError, RecursionError) as error:
            raise InputError(f"is not JSON ({error})", file=file, hint=hint) from None

    @classmethod
    def of(cls, value: Any, file: Path | None = None, hint: str | None = None) -> Self:
        """Return the document of plain dicts and lists."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "document"
            raise InputError(first["msg"], file=file, field=where, hint=hint) from None

    def as_json(self) -> dict[str, Any]:
        """Return the document as plain dicts and lists, with the keys of the file."""
        plain: dict[str, Any] = finite(self)
        return plain
