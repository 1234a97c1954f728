"""How a mission's catalogues of sources and clusters call what masses are read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FluxColumns:
    """Columns of a flux that stands for a count rate where there is none.

    Attributes
    ----------
    names : tuple of str
        The first that is there.
    counts_per_flux : float
        Count rate of a unit of flux [count cm^2 / erg].
    """

    names: tuple[str, ...]
    counts_per_flux: float


@dataclass(frozen=True)
class CatalogueFormat:
    """Columns of a mission's catalogues, by what they are in `icmass.survey.catalogue_rows`.

    Attributes
    ----------
    columns : mapping of str to tuple of str
        Names of each column, the first that is there; compared as `icmass.io.sky_table.plain_name`
        does.
    counts : tuple of str
        Counts of the column ``rate``: over the rate they are the exposure, where there is none.
    fluxes : mapping of str to FluxColumns
        What stands for a rate that is missing.
    refused : mapping of str to str
        Columns of catalogues that cannot be used, and the hint.
    rate_is : str
        What a count rate is, in words.
    """

    columns: Mapping[str, tuple[str, ...]]
    counts: tuple[str, ...] = ()
    fluxes: Mapping[str, FluxColumns] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    rate_is: str = "counts per second"
