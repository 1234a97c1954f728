"""A survey made of photon lists: cluster after cluster, going on past bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from icmass.errors import InputError
from icmass.io.ideal_photons import ListExposure, PhotonTelescope
from icmass.io.photon_lists import ListFacts
from icmass.io.simput import Catalogue, read_catalogue, source_chunks
from icmass.observe.apertures import photon_counts
from icmass.observe.dynamics import clipped_dispersion
from icmass.plasma.absorption import DEFAULT_NH_1E20
from icmass.sky.map_grid import MAX_COUNT
from icmass.survey.store import SurveyWriter, check_new_store
from icmass.universe.galaxies import Galaxies

COMPONENTS = ("icm", "agn", "observed")
"""What a list may hold: photons of the gas, of active nuclei, or of both."""
NEEDED = ("m500c", "position")
"""A cluster without one of these is left out of a survey whose others have it."""
OPTIONAL = ("T", "L_X", "L_X_soft", "M_gas", "M_star", "sigma_v_true")
"""These are left out of the survey where a cluster lacks them."""
_SAME_PLACE = 1e-4  # deg
_STREAMS = (*COMPONENTS, "background")


@dataclass(frozen=True)
class PhotonListTarget:
    """One cluster to be made.

    Attributes
    ----------
    label : str
        What to call it in a message.
    key : tuple of int
        Of its random streams; the same for a cluster whatever is made beside it.
    lists : dict of str to Path
        Photon list of each component, of `COMPONENTS`.
    redshift : float or None
        None: as the lists say.
    centre : (float, float) or None
        Right ascension and declination [deg]; None: the first source of the lists.
    area_cm2, time_s, nh : float or None
        Flat area [cm^2], exposure [s] and column density [1e20 cm^-2] of the lists; None: as they
        say.
    values : dict
        Further variables of the survey: identity, mass, proxies.
    galaxies : Galaxies or None
    """

    label: str
    key: tuple[int, ...]
    lists: Mapping[str, Path]
    redshift: float | None = None
    centre: tuple[float, float] | None = None
    area_cm2: float | None = None
    time_s: float | None = None
    nh: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    galaxies: Galaxies | None = None


@dataclass
class Outcome:
    """How a survey came out.

    Attributes
    ----------
    n_clusters : int
        Clusters made.
    components : tuple of str
    failures : list of (str, InputError)
        The label of each bad cluster, and what is wrong with it.
    left_out : list of str
        Variables that some clusters have and others lack.
    """

    n_clusters: int = 0
    components: tuple[str, ...] = ()
    failures: list[tuple[str, InputError]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def build_survey(
    targets: Sequence[PhotonListTarget],
    telescope: PhotonTelescope,
    out: Path,
    *,
    preset: str,
    config: Mapping[str, Any],
    seed: int,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Write the survey of all clusters that can be made.

    Parameters
    ----------
    targets : sequence of Target
    telescope : PhotonTelescope
    out : path
        The store, X.zarr.
    preset : str
        Name of the kind of data.
    config : mapping
        Further configuration to keep with the survey, beside ``observe``.
    seed : int
        Cluster draws from ``SeedSequence(seed, spawn_key=target.key)``.
    overwrite : bool
        Replace a store of that name.
    inputs : sequence of path
        What was read beside the lists: never written over.
    progress : callable of (done, total), optional

    Returns
    -------
    Outcome
        ``n_clusters`` is 0, and nothing is written, where no cluster is good.
    """
    lists = [file for target in targets for file in target.lists.values()]
    check_new_store(out, overwrite=overwrite, inputs=[*inputs, *lists])
    outcome = Outcome()
    good = _of_one_kind(targets, outcome)
    names = _names(good, outcome)
    writer = SurveyWriter(
        out,
        names=names,
        n_pixels=telescope.grid.n_pixels,
        half_width=telescope.grid.half_width,
        bands=telescope.grid.bands,
        attrs={
            "preset": preset,
            "cosmology": telescope.grid.cosmology.model_dump_json(),
            "seed": seed,
            "config": json.dumps({**config, "observe": _observe(telescope)}),
        },
        components=(*outcome.components, "background"),
        overwrite=overwrite,
    )
    with writer:
        for i, target in enumerate(good):
            try:
                values = make_cluster(target, telescope, outcome.components, seed)
            except InputError as error:
                outcome.failures.append((target.label, error))
            else:
                writer.add({name: values[name] for name in names if name != "galaxy_offset"})
                outcome.n_clusters += 1
            if outcome.n_clusters or i + 1 < len(good):  # where all fail, that alone is told
                progress(i + 1, len(good))
    return outcome


def make_cluster(
    target: PhotonListTarget, telescope: PhotonTelescope, components: Sequence[str], seed: int
) -> dict[str, Any]:
    """Return the variables of one cluster, its lists seen by the telescope.

    Parameters
    ----------
    components : sequence of str
        Maps to make beside that of the background, of `COMPONENTS`; ``observed`` is the sum of gas
        and active nuclei where there is no list of both.
    """
    children = np.random.SeedSequence(seed, spawn_key=target.key).spawn(len(_STREAMS))
    streams = dict(zip(_STREAMS, children, strict=True))
    maps = np.zeros((len(components) + 1, *telescope.maps_grid.shape), int)
    known: list[tuple[ListFacts, ListExposure]] = []
    for part in _used(target, components):
        of_thinning, of_photons = (np.random.default_rng(s) for s in streams[part].spawn(2))
        catalogue = read_catalogue(target.lists[part])
        listed = _listed(target, catalogue)
        known.append((catalogue.facts, listed))
        chunks = (chunk for source in catalogue.sources for chunk in source_chunks(source))
        photons = telescope.thin(chunks, listed, of_thinning)
        if part != "agn" and not telescope.sees(photons):
            raise _nothing_seen(len(photons), listed, telescope, target.lists[part])
        index = components.index(part if part in components else "observed")
        maps[index] += telescope.counts(photons, listed.redshift, of_photons)
    _check_centres(known)
    redshift, centre = known[0][1].redshift, known[0][1].centre
    maps[-1] = telescope.background_counts(redshift, np.random.default_rng(streams["background"]))
    if maps.sum(0).max() >= MAX_COUNT:
        raise InputError(f"has {MAX_COUNT} photons or more in one pixel of the map")
    return {
        "maps": maps,
        "redshift": redshift,
        "exposure": telescope.exposure,
        "nh": _nh(target, known[0][0], telescope),
        "ra": centre[0] % 360,
        "dec": centre[1],
        **_numbers(target, redshift, maps, telescope),
        **_galaxies(target.galaxies),
    }


def _used(target: PhotonListTarget, components: Sequence[str]) -> list[str]:
    """Return the lists that make the components: one of both is taken before its two parts."""
    if "observed" not in components:
        return [part for part in COMPONENTS if part in components]
    return ["observed"] if "observed" in target.lists else ["icm", "agn"]


def _nothing_seen(
    number: int, listed: ListExposure, telescope: PhotonTelescope, file: Path
) -> InputError:
    ra, dec = listed.centre
    return InputError(
        f"none of the {number} photons that {telescope.exposure:g} s leave is within the map about "
        f"RA {ra:g} Dec {dec:g}",
        file=file,
        hint="give the centre (--ra, --dec, or columns ra and dec of the table of clusters), or a "
        "longer --exposure",
    )


def _numbers(
    target: PhotonListTarget, redshift: float, maps: np.ndarray, telescope: PhotonTelescope
) -> dict[str, Any]:
    """Return what the target knows, and the photons in apertures."""
    values = dict(target.values)
    m500c = values.get("m500c")
    if m500c is not None and "r500c" not in values:
        values["r500c"] = float(telescope.grid.cosmology.r500c(m500c, redshift))
    r500c = values.get("r500c", telescope.grid.half_width)
    found = photon_counts(maps[None], r500c, half_width=telescope.grid.half_width)
    return values | {name: float(count[0]) for name, count in found.items()}


def _galaxies(galaxies: Galaxies | None) -> dict[str, Any]:
    if galaxies is None:
        return {}
    number, sigma = clipped_dispersion(galaxies)
    return {
        "N_gal": float(number),
        "sigma_v": sigma,
        "galaxy_x": galaxies.x,
        "galaxy_y": galaxies.y,
        "galaxy_v": galaxies.v_los,
        "galaxy_m_star": galaxies.m_star,
    }


def _of_one_kind(targets: Sequence[PhotonListTarget], outcome: Outcome) -> list[PhotonListTarget]:
    """Settle the components of the survey; targets without them are failures."""
    whole = [t for t in targets if "observed" in t.lists or {"icm", "agn"} <= set(t.lists)]
    if whole:
        apart = all({"icm", "agn"} <= set(t.lists) for t in whole)
        outcome.components = ("icm", "agn") if apart else ("observed",)
        lacking = "lacks a list of its active nuclei (MODE 2), or of gas and nuclei (MODE 3)"
    else:
        whole = [t for t in targets if "icm" in t.lists]
        outcome.components = ("icm",)
        lacking = "has photons of active nuclei alone"
    kept = {t.key for t in whole}
    for target in targets:
        if target.key not in kept:
            outcome.failures.append((target.label, InputError(lacking)))
    for name in NEEDED:
        if any(name in t.values for t in whole):
            for target in [t for t in whole if name not in t.values]:
                what = f"has no {name}, others have"
                hint = "give it in the table of clusters"
                outcome.failures.append((target.label, InputError(what, hint=hint)))
                whole.remove(target)
    return whole


def _names(targets: Sequence[PhotonListTarget], outcome: Outcome) -> list[str]:
    """Return the variables of the survey; what only some clusters have is left out."""
    names = ["maps", "redshift", "exposure", "nh", "ra", "dec", "n_phot"]
    if targets and "m500c" in targets[0].values:
        names += ["r500c", "n_phot_r500", "n_phot_2r500"]
    for name in ("m500c", "position", "halo_id", "snapshot", *OPTIONAL):
        number = sum(name in t.values for t in targets)
        if number and number == len(targets):
            names.append(name)
        elif number:
            outcome.left_out.append(f"{name} ({len(targets) - number} clusters have none)")
    if targets and all(t.galaxies is not None for t in targets):
        names += ["N_gal", "sigma_v", "galaxy_offset", "galaxy_x", "galaxy_y", "galaxy_v"]
        names += ["galaxy_m_star"]
    return names


def _listed(target: PhotonListTarget, catalogue: Catalogue) -> ListExposure:
    """Return how the photons of a file were collected, or say what is not known."""
    facts, first = catalogue.facts, catalogue.sources[0]
    numbers = {
        "AREA": (target.area_cm2, facts.area_cm2, "--area, cm^2"),
        "TIME": (target.time_s, facts.time_s, "--time, s"),
        "REDSHIFT": (target.redshift, facts.redshift, "--redshift"),
    }
    found = {}
    for key, (given, said, option) in numbers.items():
        value = given if given is not None else said
        if value is None:
            raise InputError(
                f"has no {key}", file=facts.file, field="primary header", hint=f"give it ({option})"
            )
        found[key] = value
    if not found["REDSHIFT"] > 0:
        raise InputError(f"is {found['REDSHIFT']:g}", file=facts.file, field="REDSHIFT")
    centre = target.centre or (first.ra, first.dec)
    return ListExposure(found["AREA"], found["TIME"], centre, found["REDSHIFT"])


def _check_centres(known: Sequence[tuple[ListFacts, ListExposure]]) -> None:
    """Refuse lists of a cluster that have different centres."""
    for facts, listed in known[1:]:
        if (np.abs(np.subtract(listed.centre, known[0][1].centre)) > _SAME_PLACE).any():
            what = "has another centre than the cluster's other list"
            raise InputError(what, file=facts.file, field="SRC_CAT, RA, DEC")


def _nh(target: PhotonListTarget, facts: ListFacts, telescope: PhotonTelescope) -> float:
    if telescope.absorb_nh_1e20:
        return telescope.absorb_nh_1e20
    given = target.nh if target.nh is not None else facts.nh
    return DEFAULT_NH_1E20 if given is None else given


def _observe(telescope: PhotonTelescope) -> dict[str, Any]:
    """Return how the photons were seen, in the words of a simulated survey's configuration."""
    return {
        "instrument": telescope.instrument.name,
        "vignetting": telescope.instrument.vignetting,
        "exposure_s": telescope.exposure,
        "half_width_mpc_h": telescope.grid.half_width,
        "n_pixels": telescope.grid.n_pixels,
        "bands": [list(band) for band in telescope.grid.bands],
        "psf": telescope.psf,
        "redistribution": telescope.redistribution,
        "background": telescope.background,
        "absorbed_nh_1e20": telescope.absorb_nh_1e20,
    }
