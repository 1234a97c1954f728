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
    """

    key: str
    value: Any
    meaning: str


def parameters(config: SurveyConfig) -> list[Parameter]:
    """Return every parameter of a configuration, in its order."""
    return list(_walk(config, ""))


def as_yaml(config: SurveyConfig) -> str:
    """Return a configuration as a commented YAML text, which ``--config`` takes."""
    lines: list[str] = []
    section = ""
    for parameter in parameters(config):
        parent, _, name = parameter.key.rpartition(".")
        indent = "  " * parameter.key.count(".")
        if parent != section:
            lines += ["", *_headings(parent, section)]
            section = parent
        lines += textwrap.wrap(
            parameter.meaning, 96, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        lines.append(f"{indent}{name}: {json.dumps(parameter.value)}")
    return "\n".join(lines).strip() + "\n"


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
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            nested.append((name, value))
        else:
            yield Parameter(prefix + name, plain[name], meanings.get(name, ""))
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


def optional_models() -> dict[str, type[BaseModel]]:
    """Return the parts of a configuration that may be absent, by their key."""
    found = {}
    for section, field in SurveyConfig.model_fields.items():
        model = field.annotation
        if inspect.isclass(model) and issubclass(model, BaseModel):
            for name, inner in model.model_fields.items():
                for part in get_args(inner.annotation):
                    if inspect.isclass(part) and issubclass(part, BaseModel):
                        found[f"{section}.{name}"] = part
    return found
