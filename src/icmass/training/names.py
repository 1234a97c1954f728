"""Names of the networks, known without loading torch."""

from __future__ import annotations

import re

from icmass.errors import InputError

NETWORKS = (
    "paper-1band",
    "paper-3band",
    "paper-multimodal",
    "icm-1band",
    "icm-3band",
    "icm-multimodal",
    "icm-large-1band",
    "icm-large-3band",
    "icm-large-multimodal",
)
"""The keys of `icmass.training.model_specs.MODEL_SPECS`."""
_MOST_MEMBERS = 64
_NAME = re.compile(r"(?P<base>[^@]+)(?:@(?P<members>[1-9]\d*))?")


def parse_network(name: str) -> tuple[str, int]:
    """Return the design and the number of networks of a name such as ``icm-3band@4``.

    Raises
    ------
    InputError
        If there is no such network.

    Examples
    --------
    >>> parse_network("icm-3band@4")
    ('icm-3band', 4)
    """
    found = _NAME.fullmatch(name)
    if found is None or found["base"] not in NETWORKS:
        known = f"known: {', '.join(NETWORKS)}, and @n after one for n of them"
        raise InputError(repr(name), field="network", hint=known)
    n_members = int(found["members"] or 1)
    if n_members > _MOST_MEMBERS:
        raise InputError(f"{n_members} networks", field=name, hint=f"at most {_MOST_MEMBERS}")
    return found["base"], n_members


def is_network(name: str) -> bool:
    """Return whether a name is that of a network rather than of proxies."""
    return name.partition("@")[0] in NETWORKS
