"""Trained models that come with the package, and families of them.

A family is a line of ``models/families.json``: its name, and its members from the richest bands to
the poorest. Each member is a folder beside that file.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from icmass.errors import InputError
from icmass.run.layout import finished_models

DEFAULT_MODEL = "erass-v2"
"""The bundled family, or model, that predictions and calibrations use if none is named."""
FAMILIES = "families.json"


def bundled_folder() -> Path:
    """Return the package's folder of models, there or not."""
    return Path(str(files("icmass").joinpath("models")))


def bundled_models() -> dict[str, Path]:
    """Return the folders of the bundled models by name: saved models, or folds of them."""
    folder = bundled_folder()
    if not folder.is_dir():
        return {}
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    return {path.name: path for path in found if finished_models(path)}


def bundled_families() -> dict[str, dict[str, Path]]:
    """Return the folders of each family's members that are there, by name, in order of preference.

    Raises
    ------
    InputError
        If the list of families is damaged.
    """
    file = bundled_folder() / FAMILIES
    if not file.is_file():
        return {}
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        named = {str(family): [str(name) for name in members] for family, members in listed.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        what = f"damaged ({type(error).__name__})"
        raise InputError(what, file=file, hint="install the package again") from None
    models = bundled_models()
    return {
        family: {name: models[name] for name in members if name in models}
        for family, members in named.items()
    }


def is_bundled(model: str | Path | None) -> bool:
    """Return whether that is the name of a bundled model or family."""
    return str(model) in bundled_models() or str(model) in bundled_families()


def family_members(model: str | Path | None) -> dict[str, Path] | None:
    """Return the members of a bundled family by its name; None of anything else.

    A folder on disk of that name comes first, as for `model_folder`.

    Raises
    ------
    InputError
        If no member of the family is there.
    """
    if model is not None and Path(model).exists():
        return None
    name = DEFAULT_MODEL if model is None else str(model)
    members = bundled_families().get(name)
    if members is not None and not members:
        raise InputError(
            "has no member in this installation",
            field=f"bundled family {name}",
            hint="name the folder of a run (`icmass benchmark`) or of a saved model",
        )
    return members


def model_folder(model: str | Path | None) -> Path:
    """Return the folder of a model or run: a folder on disk, or a bundled model by its name.

    Parameters
    ----------
    model : str or path, optional
        Default: `DEFAULT_MODEL`, where that is no family.

    Raises
    ------
    InputError
        If the default, or a bundled model that is named, is not there.
    """
    if model is not None and Path(model).exists():
        return Path(model)
    name, models = DEFAULT_MODEL if model is None else str(model), bundled_models()
    if name in models:
        return models[name]
    hint = "name the folder of a run (`icmass benchmark`) or of a saved model"
    if name == DEFAULT_MODEL:
        raise InputError("is not in this installation", field=f"bundled model {name}", hint=hint)
    if models and model is not None and len(Path(model).parts) == 1:
        known = [*models, *(family for family, held in bundled_families().items() if held)]
        hint += f", or a bundled one: {', '.join(known)}"
    raise InputError("no such folder", file=name, hint=hint)
