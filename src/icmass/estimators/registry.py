"""Estimators by name, and saved estimators by directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from icmass.errors import InputError
from icmass.estimators.estimator import Estimator
from icmass.estimators.names import NETWORKS, is_network
from icmass.proxies.names import PROXIES


def known_names() -> list[str]:
    """Return the names that `make_estimator` takes.

    Proxies may also be joined by ``+``; ``@n`` after a network's stands for n of them.
    """
    return [*PROXIES, *NETWORKS]


def make_estimator(name: str, *, seed: int = 0, device: str = "auto", **options: Any) -> Estimator:
    """Return the estimator of a name, not yet fitted.

    Parameters
    ----------
    name : str
        A network, n networks (``icm-3band@4``), a proxy, or proxies joined by ``+``.
    seed : int
        Seed of everything random in the fit.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for networks.
    **options
        Further options of `NetworkEstimator`: ``checkpoint``, ``max_epochs``, ``progress``.
    """
    if is_network(name):
        from icmass.estimators.network import NetworkEstimator

        return NetworkEstimator(name, seed=seed, device=device, **options)
    from icmass.estimators.relation import ProxyRelation

    return ProxyRelation.from_name(name)


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
        kind = json.loads(file.read_text(encoding="utf-8"))["estimator"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"damaged ({type(error).__name__})", file=file, hint=hint) from None
    if kind == "network":
        from icmass.estimators.network import NetworkEstimator

        return NetworkEstimator.load(directory, device=device)
    if kind == "proxy":
        from icmass.estimators.relation import ProxyRelation

        return ProxyRelation.load(directory)
    raise InputError(repr(kind), file=file, field="estimator", hint="known: network, proxy")
