"""Every parameter of a survey with its meaning, read off the docstrings of the configuration."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from icmass.survey.config import SurveyConfig

_ENTRY = re.compile(r"^(?P<names>[\w, ]+) : .+$")


@dataclass(frozen=True)
class Parameter:
    """One field of the configuration.

    Attributes
    ----------
    key : str
        Path as `icmass simulate --set` takes it, e.g. ``gas.f_gas``.
    value : object
        Its value, ready for YAML.
    meaning : str
        What it is, with unit and source.
    part : type of BaseModel or None
        If the value is None: the part of the configuration that may stand there.
    """

    key: str
    value: Any
    meaning: str
    part: type[BaseModel] | None = None


def parameters(config: SurveyConfig) -> list[Parameter]:
    """Return every parameter of a configuration, in its order."""
    return list(_walk(config, ""))


def as_yaml(config: SurveyConfig) -> str:
    """Return a configuration as a commented YAML text, which ``--config`` takes.

    Parts that are absent (``null``) are listed with their defaults, commented out.
    """
    lines: list[str] = []
    section = said = ""
    for parameter in parameters(config):
        parent, _, name = parameter.key.rpartition(".")
        indent = "  " * parameter.key.count(".")
        if parent != section:
            lines += ["", *_headings(parent, section)]
            section = parent
        if parameter.meaning != said:
            lines += _comment(parameter.meaning, indent)
            said = parameter.meaning
        lines.append(f"{indent}{name}: {json.dumps(parameter.value)}")
        if parameter.part is not None:
            for inner in _walk(parameter.part(), ""):
                lines += _comment(inner.meaning, indent + "#   ")
                lines.append(f"{indent}#   {inner.key}: {json.dumps(inner.value)}")
    return "\n".join(lines).strip() + "\n"


def _comment(text: str, indent: str) -> list[str]:
    lead = f"{indent}# "
    return textwrap.wrap(text, 96, initial_indent=lead, subsequent_indent=lead)


def _headings(parent: str, before: str) -> list[str]:
    """YAML keys that open `parent`, less those that `before` has opened."""
    old, new = before.split("."), parent.split(".")
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    return ["  " * depth + new[depth] + ":" for depth in range(same, len(new)) if new[depth]]


def _walk(model: BaseModel, prefix: str) -> Iterator[Parameter]:
    meanings = _meanings(type(model))
    plain = json.loads(model.model_dump_json())
    nested = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            nested.append((name, value))
        else:
            part = _part(field.annotation) if value is None else None
            yield Parameter(prefix + name, plain[name], meanings.get(name, ""), part)
    for name, value in nested:
        yield from _walk(value, f"{prefix}{name}.")


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the text of each entry of a NumPy docstring's section Parameters."""
    text = inspect.getdoc(model) or ""
    _, _, section = text.partition("Parameters\n----------\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            names = [name.strip() for name in entry["names"].split(",")]
            found |= dict.fromkeys(names, "")
        elif line.startswith(" "):
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
        elif line:
            break
    return found


def _part(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field may hold instead of None."""
    for part in get_args(annotation):
        if inspect.isclass(part) and issubclass(part, BaseModel):
            return part
    return None
