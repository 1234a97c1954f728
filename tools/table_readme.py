"""The table of the README: what works, in figures."""

from __future__ import annotations

from table_results import EROSITA_SURVEYS, estimators, per_cent, results
from table_trust import bundled_on_physics


def _reference() -> str:
    """The reference's proxies and networks on its own kind of maps."""
    proxies, networks = (
        ("T", "M_gas", "N_gal", "N_phot"),
        {
            "icm-1band": "one band",
            "icm-3band": "three bands",
            "icm-multimodal": "maps and galaxies",
        },
    )
    found = {row["name"]: row for row in estimators("phox-3285", *proxies, *networks)}
    published = {name: f"{100 * (row['sigma_published'] or 0):.1f}" for name, row in found.items()}
    counted = ", ".join(
        f"{name} {100 * found[name]['sigma_paper']:.1f} ({published[name]})" for name in proxies
    )
    maps = ", ".join(
        f"{words} {per_cent(found[name], 'sigma_lnm')} ({published[name]})"
        for name, words in networks.items()
    )
    return (
        f"| clusters as those of Ho et al. 2023, scatter in per cent (published) | {counted}; "
        f"networks: {maps} | [scores](docs/estimators.md#scores) |"
    )


def readme() -> list[str]:
    """What works, in figures."""
    rows = [_reference()]
    for survey, of_survey in results("erass")["surveys"].items():
        if survey == "erass8-cosmology":
            continue
        row = of_survey["models"]["erass-v2-9band"]["population"]
        rate = of_survey["count_rate"]["mean_mass_at_rate"]["sigma_lnm"]
        inside, half = 100 * row["coverage68"], 100 * row["bias_lnm"]
        rows.append(
            f"| masses of clusters in mocks of {EROSITA_SURVEYS[survey]}, `erass-v2-9band` | "
            f"scatter of ln M {100 * row['sigma_lnm']:.0f} per cent, where count rates have "
            f"{100 * rate:.0f}; bias {half:+.0f}; {inside:.0f} per cent within 68 "
            "| [models](docs/estimators.md#bundled-models) |"
        )
    rows += list(bundled_on_physics())
    calibration = results("calibration")
    coverage, sample = calibration["coverage"], results("cosmology")
    om0, sigma8 = (sample["cases"]["whole"][name] for name in ("om0", "sigma8"))
    rows += [
        "| mass scale from 200 lensing masses | stated error "
        f"{100 * coverage['mean_error']:.1f} per cent; {100 * coverage['coverage68']:.0f} per cent "
        f"of {coverage['repeats']} repeats within 68 | [calibration](docs/calibration.md) |",
        f"| Omega_m, sigma_8 of {sample['clusters']:,} clusters of a mock eRASS1 with "
        f"{sample['lensing_masses']} lensing masses | "
        f"{om0['mean']:.3f} ± {om0['std']:.3f} for {om0['truth']}, "
        f"{sigma8['mean']:.3f} ± {sigma8['std']:.3f} for {sigma8['truth']} "
        "| [cosmology](docs/calibration.md#cosmology-with-the-mass-scale-free) |",
    ]
    catalogue = results("catalogue-efeds")
    real = catalogue["efeds"]["klein, mass-function, lensing"]
    mock = catalogue["mock"]["all columns"]
    rows.append(
        f"| masses from catalogue rows alone | scatter {100 * mock['sigma_lnm']:.0f} per cent on "
        f"mocks; {real['n']} real eFEDS clusters: mean ln ratio {real['mean_ln_ratio']:+.2f} to "
        f"published masses calibrated by lensing, scatter {real['scatter_ln_ratio']:.2f} "
        "| [catalogue](docs/catalogue.md) |"
    )
    flagged = results("out-of-domain")["flagged"]
    sky = results("whole-sky")["whole_sky"]
    rows += [
        "| inputs that are none | flagged: "
        f"{100 * flagged['blank field']:.0f} per cent of blank fields, "
        f"{100 * flagged['point source alone']:.0f} of point sources, "
        f"{100 * flagged['as trained (false alarms)']:.0f} of clusters "
        "| [estimators](docs/estimators.md#out-of-domain) |",
        f"| {sky['clusters']:,} clusters on {sky['tiles']:,} sky tiles | "
        f"{sky['exposure maps, 1 worker']['sky_h_core']:.1f} core hours to ingest, "
        f"{sky['predict, of the survey']['sky_h_core']:.1f} to predict "
        "| [real sky](docs/real_sky.md) |",
    ]
    return ["| what | figure | more |", "|---|---|---|", *rows]
