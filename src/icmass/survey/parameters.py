"""Every parameter of a survey with its description, unit and source; the same as a YAML file."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from icmass.parameter import Description, describe
from icmass.survey.config import SurveyConfig


@dataclass(frozen=True)
class Parameter:
    """One field of the configuration.

    Attributes
    ----------
    key : str
        Path as `icmass simulate --set` takes it, e.g. ``gas.f_gas``.
    value : object
        Its value, ready for YAML.
    description : str
        What it is.
    unit : str
        ``"1"`` for a pure number, empty where there is nothing to measure.
    source : str
        Reference of the default; empty where it is a choice.
    default : object
        What the value is where no preset, variant or user has set another, ready for YAML.
    section : type of BaseModel or None
        If the value is None: the section of the configuration that may stand there.
    """

    key: str
    value: Any
    description: str
    unit: str
    source: str
    default: Any
    section: type[BaseModel] | None = None

    @property
    def comment(self) -> str:
        """Description, unit and source in one text; the source is that of the default."""
        source = self.source
        if self.value != self.default:
            shown = "" if isinstance(self.default, list | dict) else f" {json.dumps(self.default)}"
            source = f"default{shown}" + (f": {source}" if source else "")
        return str(Description(self.description, self.unit, source))


def parameters(config: BaseModel) -> list[Parameter]:
    """Return every parameter of a configuration, in its order."""
    return list(_walk(config, ""))


def as_yaml(config: SurveyConfig) -> str:
    """Return a configuration as a commented YAML text, which ``--config`` takes.

    Sections that are absent (``null``) are listed with their defaults, commented out.
    """
    headings = dict(_sections(config, ""))
    lines: list[str] = []
    open_section = ""
    for parameter in parameters(config):
        section, _, name = parameter.key.rpartition(".")
        indent = "  " * parameter.key.count(".")
        if section != open_section:
            lines += ["", *_headings(section, open_section, headings)]
            open_section = section
        lines += _comment(parameter.comment, indent)
        lines.append(f"{indent}{name}: {json.dumps(parameter.value)}")
        if parameter.section is not None:
            for inner in parameters(parameter.section()):
                lines += _comment(inner.comment, indent + "#   ")
                lines.append(f"{indent}#   {inner.key}: {json.dumps(inner.value)}")
    return "\n".join(lines).strip() + "\n"


def _comment(text: str, indent: str) -> list[str]:
    lead = f"{indent}# "
    return textwrap.wrap(text, 96, initial_indent=lead, subsequent_indent=lead)


def _headings(section: str, before: str, descriptions: dict[str, str]) -> list[str]:
    """Return the YAML keys that open `section`, less those that `before` has opened."""
    old, new = before.split("."), section.split(".")
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    lines: list[str] = []
    for depth in range(same, len(new)):
        if new[depth]:
            indent = "  " * depth
            lines += _comment(descriptions[".".join(new[: depth + 1])], indent)
            lines.append(f"{indent}{new[depth]}:")
    return lines


def _walk(model: BaseModel, prefix: str) -> Iterator[Parameter]:
    plain, default = (json.loads(m.model_dump_json()) for m in (model, type(model)()))
    nested = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            nested.append((name, value))
            continue
        stated = describe(field)
        section = _section(field.annotation) if value is None else None
        key = prefix + name
        yield Parameter(
            key, plain[name], stated.text, stated.unit, stated.source, default[name], section
        )
    for name, value in nested:
        yield from _walk(value, f"{prefix}{name}.")


def _sections(model: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the key of every section that is present, and its description."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield prefix + name, str(describe(field))
            yield from _sections(value, f"{prefix}{name}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field may hold instead of None."""
    for choice in get_args(annotation):
        if inspect.isclass(choice) and issubclass(choice, BaseModel):
            return choice
    return None
