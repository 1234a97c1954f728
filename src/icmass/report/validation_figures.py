"""The figures of a validation: what is drawn, with captions, from a survey and its checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure
from pydantic import ValidationError

from icmass.errors import InputError
from icmass.proxies.names import available
from icmass.proxies.published import published_correlation
from icmass.proxies.summary import ProxyTable
from icmass.report.correlation import draw_correlation
from icmass.report.figures import Plate
from icmass.report.gallery import (
    choose_clusters,
    draw_colour_gallery,
    draw_component_gallery,
    draw_gallery,
)
from icmass.report.style import house_style, save
from icmass.report.validation_gas import draw_gas_profiles, draw_morphology
from icmass.report.validation_images import draw_images
from icmass.report.validation_relations import draw_relation
from icmass.report.validation_sky import (
    draw_count_rates,
    draw_deviations,
    draw_field_counts,
    draw_profiles,
)
from icmass.run.layout import RunLayout
from icmass.survey.catalog import survey_config
from icmass.survey.config import SurveyConfig
from icmass.validation.catalogue import GALAXIES
from icmass.validation.count_rates import gas_rates, soft_bands
from icmass.validation.gas_profiles import gas_profiles
from icmass.validation.image_maps import ImageSample
from icmass.validation.profiles import MIN_COUNTS, stack_profiles
from icmass.validation.validate import Validation


@dataclass(frozen=True)
class _Plan:
    key: str
    stem: str
    title: str
    caption: str
    needs: tuple[str, ...]
    draw: Callable[[], Figure]


def make_validation_figures(survey: xr.Dataset, found: Validation, folder: Path) -> list[Plate]:
    """Draw every figure that the survey can give into ``folder/figures``."""
    plans = [
        *_verdict_plans(found),
        *_relation_plans(survey),
        *_gas_plans(survey, found),
        *_sky_plans(survey),
        *_gallery_plans(survey),
    ]
    return [_make(survey, plan, folder) for plan in plans]


def _make(survey: xr.Dataset, plan: _Plan, folder: Path) -> Plate:
    missing = [name for name in plan.needs if name not in survey]
    if missing:
        return Plate(plan.key, plan.title, problem=f"the survey holds no {', '.join(missing)}")
    try:
        with house_style():
            figure = plan.draw()
    except (InputError, KeyError, ValueError, IndexError) as error:
        problem = f"could not be drawn from this survey ({error})"
        return Plate(plan.key, plan.title, problem=problem)
    return Plate(
        plan.key, plan.title, plan.caption, save(figure, RunLayout(folder).figures, plan.stem)
    )


def _verdict_plans(found: Validation) -> Iterator[_Plan]:
    yield _Plan(
        "verdict", "deviations", "Every row at a glance",
        "Deviation of each value from its target in units of its tolerance (shaded: within it), "
        "with 1 sigma bootstrap errors over halos. Red: missed. Arrows: beyond the axis.",
        (), lambda: draw_deviations(found.checks),
    )  # fmt: skip


_RELATIONS = {
    "T": ("Temperature", "Gas-mass-weighted temperature within R500c"),
    "L_X": ("Bolometric luminosity", "X-ray luminosity of the gas within R500c, 0.01-99 keV"),
    "L_X_soft": ("Soft luminosity", "X-ray luminosity within R500c, rest-frame 0.5-2 keV"),
    "f_gas": ("Gas fraction", "Gas mass over total mass within R500c"),
    "M_star": ("Stellar mass", "Stellar mass within R500c"),
}
_GALAXIES = {
    "N_gal": ("Galaxy number", "Galaxies within 1.25 comoving Mpc/h and 2000 km/s, clipped"),
    "sigma_v": ("Velocity dispersion", "Dispersion of the galaxies that N_gal counts"),
    "sigma_v_true": (
        "True velocity dispersion",
        "Dispersion along the line of sight of the galaxies within 2.3 comoving Mpc/h in 3D",
    ),
}


def _relation_plans(survey: xr.Dataset) -> Iterator[_Plan]:
    band = "Orange: running median and 16th to 84th percentile."
    lines = {
        "M_star": "No published relation is drawn.",
        "L_X_soft": "Dashed, diamond: observed clusters (eFEDS, SPT), none of Magneticum.",
    }
    both = "Solid: Magneticum. Dashed, diamond: observed clusters (eFEDS, SPT)."
    lines |= {"T": both, "f_gas": both, "L_X": "Solid: Magneticum in two ranges of redshift."}
    for proxy, (title, what) in _RELATIONS.items():
        yield _Plan(
            "relation", f"relation-{proxy}", title,
            f"{what}, against M500c [Msun/h]. {band} {lines[proxy]}",
            ("M_gas" if proxy == "f_gas" else proxy,),
            partial(draw_relation, survey, proxy),
        )  # fmt: skip
    marks = {"N_gal": [target.value for target in GALAXIES.values()]}
    for proxy, (title, what) in _GALAXIES.items():
        told = "Dotted: least, median and most of Ho et al. (2023)." if proxy in marks else ""
        yield _Plan(
            "relation", f"relation-{proxy}", title,
            f"{what}, against M500c [Msun/h]. {band} {told}".strip(), (proxy,),
            partial(draw_relation, survey, proxy, marks.get(proxy, [])),
        )  # fmt: skip
    yield _Plan(
        "correlation", "residual-correlation", "Residual correlations of the proxies",
        "Correlation of the residuals of ln proxy about its power law in M500c, fitted snapshot by "
        "snapshot, all snapshots pooled. In brackets: Ho et al. (2023) at z = 0.174, read off "
        "their figure to about 0.1; those of photon counts hold for ideal photons (preset phox).",
        (), lambda: _correlation(survey),
    )  # fmt: skip


def _correlation(survey: xr.Dataset) -> Figure:
    names = [n for n in available(survey) if n not in ("L_X_soft", "N_phot_r500")]
    ideal_photons = survey.attrs.get("preset") == "phox"

    def published(first: str, second: str) -> float | None:
        counts = first.startswith("N_phot") or second.startswith("N_phot")
        return published_correlation(first, second) if ideal_photons or not counts else None

    return draw_correlation(names, ProxyTable.of(survey, names).fit().correlation, published)


def _gas_plans(survey: xr.Dataset, found: Validation) -> Iterator[_Plan]:
    yield _Plan(
        "gas", "gas-profiles", "Density and temperature of the gas in 3D",
        "Electron density of the hot gas and its temperature against radius, medians and 16th to "
        "84th percentile of groups and clusters (M500c in Msun/h), substructures apart. Hot gas "
        "is the part of the gas mass that shines in X-rays, as the observed densities count it. "
        "kT500 = 8.85 keV (M500c E(z) / 1e15 h70^-1 Msun)^(2/3). Dashed: mean of X-COP "
        "(Ghirardini et al. 2019, A&A 621, A41; hydrostatic masses). Point: where its gas changes "
        "from core to outskirts (A&A 627, A19). Dotted: Pratt et al. (2022, A&A 665, A24) at the "
        "median mass and redshift of each group, in its colour. The shape of the mock's kT is an "
        "input, that of Vikhlinin et al. (2006), and no result.",
        ("m500c", "redshift"), lambda: _gas_profiles(survey),
    )  # fmt: skip
    yield _Plan(
        "gas", "morphology", "Morphology of the gas",
        "Part of the clusters with a statistic above a value, in deep, sharp exposures of the "
        "mock's gas (shaded: binomial error); P3/P0 less its noise, so that some lie below zero. "
        "Points: published parts above a threshold (dotted), set side by side. Diamonds: 16th, "
        "50th and 84th percentile of measured values, noise included. Green: selected by the "
        "Sunyaev-Zeldovich effect, near to selection by mass as the mock is.",
        (), lambda: draw_morphology(_images(found).morphology),
    )  # fmt: skip
    yield _Plan(
        "gas", "images", "Images against Magneticum's",
        "Part of the clusters with a statistic above a value, in images made as those of Green et "
        "al. (2019, ApJ 884, 33): ideal ones of 1 Ms and ones of eROSITA in 2 ks with PSF and "
        "background (shaded: binomial error). Diamonds: percentiles of their clusters. All is "
        "about the X-ray peak, sought within 2 R500c of the centre, which may be that of a "
        "satellite or of a neighbour. Power ratios are about the peak too, with R in pixels. A and "
        "S of so few counts in a pixel measure those counts.",
        (), lambda: draw_images(_images(found)),
    )  # fmt: skip


def _gas_profiles(survey: xr.Dataset) -> Figure:
    config = _config(survey)
    return draw_gas_profiles(gas_profiles(survey, config), config)


def _images(found: Validation) -> ImageSample:
    if isinstance(found.images, str):
        raise ValueError(found.images)
    return found.images


def _config(survey: xr.Dataset) -> SurveyConfig:
    try:
        return SurveyConfig.model_validate(survey_config(survey))
    except ValidationError:
        raise ValueError("its configuration is of another version") from None


def _sky_plans(survey: xr.Dataset) -> Iterator[_Plan]:
    yield _Plan(
        "sky", "profiles", "Surface brightness of the gas",
        "Gas photons of all bands per area in annuli, over the mean within R500c: median and 16th "
        "to 84th percentile of the clusters in thirds of the mass range. Clusters with fewer than "
        f"{MIN_COUNTS:g} gas photons within R500c are left out. The band holds Poisson noise, and "
        "the point-spread function where the survey has one.",
        ("maps", "r500c"), lambda: _profiles(survey),
    )  # fmt: skip
    yield _Plan(
        "sky", "count-rates", "Count rates of the gas",
        "Gas photons within the projected R500c per second, against M500c [Msun/h], at a low, the "
        "median and a high redshift; solid: running median. Dashed: rates that the "
        "luminosity-mass and temperature-mass relations of the clusters of eFEDS (0.3 solar) give "
        "this telescope at the same redshift.",
        ("maps", "r500c"), lambda: _count_rates(survey),
    )  # fmt: skip
    yield _Plan(
        "sky", "field-counts", "Active nuclei of the field",
        "Number of field AGN above a flux that the survey's configuration draws from, sources "
        "counted in the images of eFEDS (complete above 5e-15 erg/s/cm2; the bright end is a "
        "little low there), and the fit of Moretti et al. (2003, ApJ 588, 696) to all point "
        "sources.",
        (), lambda: _field_counts(survey),
    )  # fmt: skip


def _profiles(survey: xr.Dataset) -> Figure:
    stacks = stack_profiles(survey)
    if not stacks:
        raise ValueError("too few clusters are bright enough")
    return draw_profiles(stacks)


def _count_rates(survey: xr.Dataset) -> Figure:
    if not soft_bands(survey):
        raise ValueError("it has no band below 2.3 keV")
    _config(survey)
    return draw_count_rates(survey, gas_rates(survey))


def _field_counts(survey: xr.Dataset) -> Figure:
    config = _config(survey)
    if not config.observe.agn or config.agn.field_norm_deg2 <= 0:
        raise ValueError("it draws no AGN of the field")
    return draw_field_counts(config.agn)


def _gallery_plans(survey: xr.Dataset) -> Iterator[_Plan]:
    needs = ("maps", "m500c", "redshift")
    choice = "Clusters nearest to an even grid of mass (right) and redshift (down). Dashed: R500c."
    yield _Plan(
        "gallery", "gallery", "Photon maps by mass and redshift",
        f"Observed counts (all components) per pixel, one stretch for all. {choice}", needs,
        lambda: draw_gallery(survey, choose_clusters(survey)),
    )  # fmt: skip
    yield _Plan(
        "gallery", "gallery-components", "What sent the photons",
        f"The same clusters: gas orange, AGN blue, background grey, smoothed. {choice}", needs,
        lambda: draw_component_gallery(survey, choose_clusters(survey)),
    )  # fmt: skip
    if survey.sizes["band"] == 3:
        yield _Plan(
            "gallery", "gallery-colour", "The same clusters in X-ray colour",
            "Soft band red, medium green, hard blue, each smoothed, less its median over the map "
            "and twice its noise. White is the mean spectrum within R500c of these clusters.",
            needs, lambda: draw_colour_gallery(survey, choose_clusters(survey)),
        )  # fmt: skip


def have_drawn(plates: list[Plate], key: str) -> list[Plate]:
    """Return the figures of a part of the page."""
    return [plate for plate in plates if plate.key == key]
