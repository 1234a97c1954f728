"""Estimators by name, and saved estimators by directory: ours, and those of other packages.

An estimator is one `EstimatorEntry`; what it stands for is imported when it is asked for. Other
packages add theirs as entry points of the group ``icmass.estimators`` (`icmass.plugins`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

from icmass.errors import InputError
from icmass.estimators.estimator import Estimator
from icmass.plugins import ESTIMATORS, load_plugin, matching_plugin, plugin_failed, plugin_names
from icmass.proxies.names import PROXIES, parse_names
from icmass.training.names import NETWORKS, is_network


@dataclass(frozen=True)
class FitOptions:
    """How an estimator is fitted; each takes what it has a use for.

    Attributes
    ----------
    seed : int
        Seed of everything random in the fit.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for networks.
    checkpoint : path, optional
        Folder where a network's training keeps every epoch, and goes on from.
    max_epochs : int, optional
        Train a network for at most this many epochs.
    progress : callable, optional
        Called with an `Epoch` after every epoch of a network.
    """

    seed: int = 0
    device: str = "auto"
    checkpoint: str | Path | None = None
    max_epochs: int | None = None
    progress: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class EstimatorEntry:
    """A kind of estimator.

    Attributes
    ----------
    key : str
        ``estimator`` of its ``config.json``.
    names : tuple of str
        Its names, for people; patterns where there are too many.
    takes : callable
        Whether a name is one of its.
    make : callable
        Takes a name and `FitOptions` to an estimator that is not fitted.
    load : callable
        Takes the folder of a saved one and the device to it.
    """

    key: str
    names: tuple[str, ...]
    takes: Callable[[str], bool]
    make: Callable[[str, FitOptions], Estimator]
    load: Callable[[Path, str], Estimator]


_ENTRIES: dict[str, EstimatorEntry] = {}


def register(entry: EstimatorEntry) -> EstimatorEntry:
    """Add a kind of estimator; its key must be new."""
    if entry.key in _ENTRIES:
        raise ValueError(f"an estimator {entry.key!r} is registered already")
    _ENTRIES[entry.key] = entry
    return entry


def of_class(key: str, made: Callable[..., Any] | str, *names: str) -> EstimatorEntry:
    """Return the entry of a class that is made by ``made(name, seed=seed)`` and has ``load``.

    Parameters
    ----------
    key : str
        ``estimator`` of its ``config.json``.
    made : class or str
        The class, or where it is: ``module:name``, imported when it is asked for.
    *names : str
        Names that it takes, or patterns of names as of files; default: `key`.
    """

    def found() -> Any:
        if not isinstance(made, str):
            return made
        module, _, name = made.partition(":")
        return getattr(import_module(module), name)

    return EstimatorEntry(
        key=key,
        names=names or (key,),
        takes=lambda name: any(fnmatchcase(name, pattern) for pattern in names or (key,)),
        make=lambda name, options: found()(name, seed=options.seed),
        load=lambda folder, device: found().load(folder),
    )


def _make_network(name: str, options: FitOptions) -> Estimator:
    from icmass.estimators.network import NetworkEstimator

    return NetworkEstimator(name, **vars(options))


def _load_network(folder: Path, device: str) -> Estimator:
    from icmass.estimators.network import NetworkEstimator

    return NetworkEstimator.load(folder, device=device)


def _make_relation(name: str, options: FitOptions) -> Estimator:
    from icmass.estimators.relation import ProxyRelation

    return ProxyRelation.from_name(name)


def _load_relation(folder: Path, device: str) -> Estimator:
    from icmass.estimators.relation import ProxyRelation

    return ProxyRelation.load(folder)


def _is_proxies(name: str) -> bool:
    return all(part.strip() in PROXIES for part in name.split("+"))


register(EstimatorEntry("proxy", tuple(PROXIES), _is_proxies, _make_relation, _load_relation))
register(EstimatorEntry("network", NETWORKS, is_network, _make_network, _load_network))
_PEERS = "icmass.estimators.map_regressions"
register(of_class("rings-gbm", f"{_PEERS}:RingsGBM", "rings-gbm-1band", "rings-gbm-3band"))
register(of_class("forest-morphology", f"{_PEERS}:ForestMorphology"))
register(of_class("catalogue-gbm", "icmass.estimators.catalogue_gbm:CatalogueGBM"))


def known_names() -> list[str]:
    """Return the names that `make_estimator` takes.

    Proxies may also be joined by ``+``; ``@n`` after a network's stands for n of them.
    """
    ours = [name for entry in _ENTRIES.values() for name in entry.names]
    return [*ours, *(name for name in plugin_names(ESTIMATORS) if name not in ours)]


def make_estimator(
    name: str,
    *,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    max_epochs: int | None = None,
    progress: Callable[[Any], None] | None = None,
) -> Estimator:
    """Return the estimator of a name, not yet fitted.

    Parameters
    ----------
    name : str
        One of `known_names`: a network, n networks (``icm-3band@4``), a proxy, or proxies joined
        by ``+``, and whatever else is registered.
    seed, device, checkpoint, max_epochs, progress
        See `FitOptions`.

    Raises
    ------
    InputError
        If there is no such estimator.
    """
    options = FitOptions(seed, device, checkpoint, max_epochs, progress)
    entry = next((entry for entry in _ENTRIES.values() if entry.takes(name)), None)
    entry = entry or _plugin(matching_plugin(ESTIMATORS, name))
    if entry is not None:
        return entry.make(name, options)
    hint = f"known are {', '.join(known_names())}; also proxies joined by +, @n after a network"
    try:
        parse_names(name)  # names the part that is no proxy
    except InputError as error:
        if "+" in name:
            raise InputError(error.problem, field="model", hint=hint) from None
    raise InputError(f"no such estimator: {name!r}", field="model", hint=hint)


def load_estimator(directory: str | Path, *, device: str = "auto") -> Estimator:
    """Read a saved estimator of any kind.

    Raises
    ------
    InputError
        If the directory holds no estimator, or a damaged one.
    """
    directory = Path(directory)
    file = directory / "config.json"
    hint = "give the directory of a saved estimator"
    if not file.is_file():
        raise InputError("no such file", file=file, hint=hint)
    try:
        key = str(json.loads(file.read_text(encoding="utf-8"))["estimator"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"damaged ({type(error).__name__})", file=file, hint=hint) from None
    entry = _ENTRIES.get(key)
    if entry is None and key in plugin_names(ESTIMATORS):
        entry = _plugin(key)
    if entry is not None:
        return entry.load(directory, device)
    known = ", ".join([*_ENTRIES, *plugin_names(ESTIMATORS)])
    hint = f"known: {known}; install the package that it was made with"
    raise InputError(repr(key), file=file, field="estimator", hint=hint)


def _plugin(name: str | None) -> EstimatorEntry | None:
    """Return the entry of a plugin, which holds one or a class for `of_class`; None if it fails."""
    found = None if name is None else load_plugin(ESTIMATORS, name)
    if name is None or found is None or isinstance(found, EstimatorEntry):
        return found
    if isinstance(found, type):
        return of_class(name, found)
    plugin_failed(ESTIMATORS, name, f"{found!r} is no class of estimators and no EstimatorEntry")
    return None
