"""Trained models that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from icmass.errors import InputError
from icmass.run.layout import finished_models

DEFAULT_MODEL = "erosita-v1"
"""The bundled model that `icmass predict` uses if none is named."""


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


def model_folder(model: str | Path | None) -> Path:
    """Return the folder of a model or run: a folder on disk, or a bundled model by its name.

    Parameters
    ----------
    model : str or path, optional
        Default: the bundled model `DEFAULT_MODEL`.

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
        hint += f", or a bundled one: {', '.join(models)}"
    raise InputError("no such folder", file=name, hint=hint)
