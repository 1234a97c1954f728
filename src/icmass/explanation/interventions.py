"""Interventions: one thing about clusters is changed in their maps, all else stays as it is.

An intervention takes clusters of a simulated survey, in memory, to the same clusters changed; the
photon counts are taken anew from the changed maps. True masses and ideal proxies stay what they
were. Lengths are comoving Mpc/h, fluxes unabsorbed 0.5-2 keV [erg/s/cm^2].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.observe.apertures import photon_counts
from icmass.observe.maps import bin_photons
from icmass.observe.photons import Photons, agn_photons
from icmass.survey.catalog import COMPONENTS, half_width_mpc_h
from icmass.survey.observatory import Observatory
from icmass.survey.simulate import simulator_of
from icmass.survey.uncovered import fill_uncovered
from icmass.universe.agn import Sources

Change = Callable[[xr.Dataset, np.random.Generator], xr.Dataset]
ICM, AGN, BACKGROUND = range(len(COMPONENTS))
CORE = 0.15
"""Radius of the core over R500c."""
FIXED_CORE_MPC_H = 0.12
"""A core of one size for all [comoving Mpc/h]: `CORE` of R500c = 0.8 Mpc/h."""
MASK_ARCSEC = 45.0
"""Radius of the mask of a source: holds 82 per cent of eROSITA's survey-average PSF at 1 keV."""


@dataclass(frozen=True)
class Intervention:
    """One change of clusters.

    Attributes
    ----------
    name : str
        Short name, without blanks.
    what : str
        What is changed, in words.
    change : callable
        Takes clusters and a random generator to the changed clusters; leaves its input alone.
    before : callable or None
        What the change is compared with: clusters made another way; None: as they are.
    """

    name: str
    what: str
    change: Change
    before: Change | None = None


def check_simulated(survey: xr.Dataset) -> None:
    """Refuse a survey that interventions cannot be made in.

    Raises
    ------
    InputError
        If the components of the counts aren't known, or part of the maps is hidden.
    """
    hint = "give a survey made by `icmass simulate` whose maps are seen whole, as of preset erosita"
    if survey.sizes["component"] != len(COMPONENTS) or "config" not in survey.attrs:
        raise InputError("not a simulated survey", field="variable maps", hint=hint)
    if "coverage" in survey:
        raise InputError("hides part of the maps", field="variable coverage", hint=hint)


def observatory_of(survey: xr.Dataset) -> Observatory:
    """Return the telescope that observed a simulated survey."""
    return simulator_of(survey).observatory


def copied_maps(clusters: xr.Dataset) -> np.ndarray:
    """Return a copy of the counts, uint16 (cluster, component, band, y, x)."""
    maps = clusters["maps"].transpose("cluster", "component", "band", "y", "x")
    return np.array(maps.values, dtype=np.uint16)


def with_maps(clusters: xr.Dataset, maps: np.ndarray) -> xr.Dataset:
    """Return the clusters with other counts, (cluster, component, band, y, x).

    ``n_phot``, ``n_phot_r500`` and ``n_phot_2r500`` are counted anew.
    """
    dims = ("cluster", "component", "band", "y", "x")
    new = {"maps": xr.Variable(dims, maps, clusters["maps"].attrs)}
    found = photon_counts(maps, clusters["r500c"].values, half_width=half_width_mpc_h(clusters))
    for name, counted in found.items():
        new[name] = xr.Variable("cluster", counted, clusters[name].attrs)
    return clusters.assign(new)


def recorded(
    observatory: Observatory, photons: Photons, redshift: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the counts of collected photons as the telescope records them, (band, y, x)."""
    seen = photons.detected(
        observatory.instrument,
        60 * float(observatory.cosmology.arcmin_per_mpc_h(redshift)),
        rng,
        psf=observatory.config.psf,
        redistribution=observatory.config.redistribution,
    )
    return bin_photons(seen, observatory.grid, None, rng)


def identity(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Change nothing."""
    return clusters


def add_agn(
    flux: float, radius: float, *, mask: Literal["hidden", "drawn"] | None = None
) -> Change:
    """Return the change that adds one AGN to each cluster, at a random position angle.

    Its spectrum is the survey's mean power law, not absorbed; its photons are Poisson, blurred and
    redistributed by the survey's telescope, and go to the component ``agn``.

    Parameters
    ----------
    flux : float
        Unabsorbed 0.5-2 keV flux [erg/s/cm^2].
    radius : float
        Projected distance from the cluster's centre over R500c.
    mask : {"hidden", "drawn"} or None
        What becomes of the pixels within `MASK_ARCSEC` of it. ``hidden``: no photons and a
        ``coverage`` of 0, as in a real survey with a mask; estimators then do what they do with
        pixels not seen. ``drawn``: Poisson counts of the mean of the rest of the ring about the
        cluster's centre, kept as background.
    """

    def change(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        observatory, maps = observatory_of(clusters), copied_maps(clusters)
        angle = rng.uniform(0, 2 * np.pi, len(maps))
        distance = radius * clusters["r500c"].values
        x, y = distance * np.cos(angle), distance * np.sin(angle)
        scalars = (clusters[name].values for name in ("redshift", "exposure", "nh"))
        for i, (z, exposure, nh) in enumerate(zip(*scalars, strict=True)):
            source = Sources(
                x[i : i + 1],
                y[i : i + 1],
                np.array([flux]),
                np.array([observatory.agn.photon_index]),
                np.array([False]),
            )
            photons = agn_photons(source, observatory.folder(float(nh)), exposure, rng)
            maps[i, AGN] += recorded(observatory, photons, float(z), rng)
        if mask is None:
            return with_maps(clusters, maps)
        hidden = _near(clusters, x, y)
        visible = np.where(hidden[:, None, None], np.uint16(0), maps)
        if mask == "hidden":
            coverage = xr.Variable(("cluster", "y", "x"), (~hidden).astype("f2"))
            return with_maps(clusters, visible).assign(coverage=coverage)
        mean = fill_uncovered(visible.sum(1), (~hidden)[:, None].astype("f4"))
        drawn = rng.poisson(np.where(hidden[:, None], mean, 0))
        visible[:, BACKGROUND] += drawn.astype(np.uint16)
        return with_maps(clusters, visible)

    return change


def _near(clusters: xr.Dataset, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the pixels within `MASK_ARCSEC` of one place in each cluster, bool (cluster, y, x)."""
    arcmin = observatory_of(clusters).cosmology.arcmin_per_mpc_h(clusters["redshift"].values)
    reach = MASK_ARCSEC / 60 / arcmin
    dy = clusters["y"].values[None, :, None] - y[:, None, None]
    dx = clusters["x"].values[None, None, :] - x[:, None, None]
    near: np.ndarray = np.hypot(dy, dx) <= reach[:, None, None]
    return near


def excise_core(*, filled: bool, fixed: bool = False) -> Change:
    """Return the change that takes the core out of all components and bands.

    Parameters
    ----------
    filled : bool
        Whether the core's pixels get Poisson counts of the mean of the ring outside it (to twice
        its radius), of each component and band by itself; else none.
    fixed : bool
        Whether the core is `FIXED_CORE_MPC_H` in all clusters, not `CORE` of the true R500c: a
        network that is trained on maps with holes reads R500c, which is the mass, off their size.
    """

    def change(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        maps = copied_maps(clusters)
        r500c = clusters["r500c"].values
        core = np.full(len(maps), FIXED_CORE_MPC_H) if fixed else CORE * r500c
        distance = _radius(clusters)
        for one, reach in zip(maps, core, strict=True):
            inside = distance <= reach
            if filled:
                mean = one[..., (distance > reach) & (distance <= 2 * reach)].mean(-1)
                drawn = rng.poisson(mean[..., None], (*mean.shape, inside.sum()))
                one[..., inside] = drawn.astype(np.uint16)
            else:
                one[..., inside] = 0
        return with_maps(clusters, maps)

    return change


def remove_component(component: int) -> Change:
    """Return the change that takes a component out: 0 ``icm``, 1 ``agn``, 2 ``background``."""

    def change(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        maps = copied_maps(clusters)
        maps[:, component] = 0
        return with_maps(clusters, maps)

    return change


def remove_band(band: int) -> Change:
    """Return the change that takes all photons out of a band."""

    def change(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        maps = copied_maps(clusters)
        maps[:, :, band] = 0
        return with_maps(clusters, maps)

    return change


def mean_colour(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Deal the gas's photons to the bands as those of all clusters at the redshift together.

    Every photon stays in its pixel; what temperature tells of the mass by the bands is gone.
    """
    maps = copied_maps(clusters)
    snapshot = np.round(clusters["redshift"].values, 2)
    for z in np.unique(snapshot):
        members = np.flatnonzero(snapshot == z)
        per_band = maps[members, ICM].sum((0, 2, 3), dtype=float)
        for i in members:
            total = maps[i, ICM].sum(0, dtype=int)
            dealt = rng.multinomial(total, per_band / max(per_band.sum(), 1))
            maps[i, ICM] = np.moveaxis(dealt, -1, 0)
    return with_maps(clusters, maps)


def rotate(degrees: float) -> Change:
    """Return the change that turns the circle within the map, photon by photon.

    A photon is put at a random place in its pixel, turned about the map's centre and binned again.
    By multiples of 90 degrees this moves whole pixels and the corners turn too; by other angles the
    corners outside the circle stay as they are.
    """

    def change(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        maps = copied_maps(clusters)
        if degrees % 90 == 0:
            return with_maps(clusters, np.rot90(maps, int(degrees // 90), (-2, -1)).copy())
        side = maps.shape[-1]
        inside = np.hypot(*(np.indices((side, side)) - (side - 1) / 2)) < side / 2 - 1
        for one in maps.reshape(-1, side, side):
            turned = _turned(np.where(inside, one, 0), np.deg2rad(degrees), rng)
            one[...] = np.where(inside, 0, one) + turned
        return with_maps(clusters, maps)

    return change


def _turned(counts: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
    """Return counts (y, x) turned about the map's centre, photon by photon."""
    side = len(counts)
    photons = np.repeat(np.flatnonzero(counts), counts[counts > 0])
    at = np.stack(np.divmod(photons, side)) + rng.random((2, len(photons))) - side / 2
    sine, cosine = np.sin(angle), np.cos(angle)
    new = np.stack([cosine * at[0] + sine * at[1], cosine * at[1] - sine * at[0]])
    row, column = np.clip((new + side / 2).astype(int), 0, side - 1)
    return np.bincount(row * side + column, minlength=side**2).reshape(side, side)


def dim_outskirts(kept: float) -> Change:
    """Return the change that keeps a part of the gas's photons beyond R500c, at random."""

    def change(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        maps, distance = copied_maps(clusters), _radius(clusters)
        for one, r500c in zip(maps, clusters["r500c"].values, strict=True):
            outside = distance > r500c
            one[ICM][:, outside] = rng.binomial(one[ICM][:, outside], kept)
        return with_maps(clusters, maps)

    return change


def add_substructure(share: float, radius: float) -> Change:
    """Return the change that adds the gas of another, lighter cluster off the centre.

    Parameters
    ----------
    share : float
        Photons that it adds, over those of the cluster's own gas within R500c.
    radius : float
        Its distance from the centre over R500c, in one of four directions at random.

    Notes
    -----
    The other is the one at the same redshift whose mass is nearest to a fifth of the cluster's. Its
    gas within its own R500c is moved by whole pixels and thinned to `share`; where it has fewer
    photons than that, it keeps all. The mass that the cluster is said to have doesn't change.
    """

    def change(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        maps, original, distance = copied_maps(clusters), copied_maps(clusters), _radius(clusters)
        r500c, mass = clusters["r500c"].values, clusters["m500c"].values
        pixel = 2 * half_width_mpc_h(clusters) / maps.shape[-1]
        snapshot = np.round(clusters["redshift"].values, 2)
        for i, one in enumerate(maps):
            others = np.setdiff1d(np.flatnonzero(snapshot == snapshot[i]), i)
            if not len(others):
                continue
            donor = others[np.argmin(np.abs(np.log(mass[others] / (0.2 * mass[i]))))]
            lent = original[donor, ICM] * (distance <= r500c[donor])
            wanted = share * original[i, ICM][:, distance <= r500c[i]].sum()
            lent = rng.binomial(lent, min(wanted / max(lent.sum(), 1), 1.0))
            steps = round(radius * r500c[i] / pixel)
            one[ICM] += _moved(lent, steps, int(rng.integers(4))).astype(np.uint16)
        return with_maps(clusters, maps)

    return change


def _moved(counts: np.ndarray, steps: int, direction: int) -> np.ndarray:
    """Return counts (band, y, x) moved by pixels in one of four directions; none comes back in."""
    turned = np.rot90(counts, direction, (1, 2))
    moved = np.zeros_like(turned)
    moved[:, :, steps:] = turned[:, :, : turned.shape[2] - steps]
    return np.rot90(moved, -direction, (1, 2))


def even_background(clusters: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Draw the background anew at its expected level, the same everywhere and in every cluster."""
    observatory, maps = observatory_of(clusters), copied_maps(clusters)
    total = [sum(observatory.instrument.background.rate(*b)) for b in observatory.grid.bands]
    pixel = 2 * half_width_mpc_h(clusters) / maps.shape[-1]
    scalars = (clusters[name].values for name in ("redshift", "exposure", "nh"))
    for one, z, exposure, nh in zip(maps, *scalars, strict=True):
        apart = observatory.unresolved_rates(float(nh)) if observatory.config.agn else 0.0
        area = (pixel * float(observatory.cosmology.arcmin_per_mpc_h(z))) ** 2
        mean = (np.array(total) - apart) * exposure * area
        one[BACKGROUND] = rng.poisson(mean[:, None, None], one[BACKGROUND].shape)
    return with_maps(clusters, maps)


def _radius(clusters: xr.Dataset) -> np.ndarray:
    """Return the distance of every pixel from the map's centre [comoving Mpc/h], (y, x)."""
    return np.hypot(clusters["y"].values[:, None], clusters["x"].values[None, :])
