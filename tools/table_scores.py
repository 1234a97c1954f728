"""Tables of scores: proxies, regressions and networks on mocks, and what bounds them."""

from __future__ import annotations

from importlib import import_module

from table_results import EROSITA_SURVEYS, estimators, per_cent, results, table_row

SCORED = {
    "T": "true temperature",
    "M_gas": "true gas mass",
    "N_phot": "photons of the map",
    "N_gal": "richness",
    "N_phot_2r500": "photons, knows R500c",
    "N_phot_r500": "photons, knows R500c",
    "N_gal+N_phot_2r500": "knows R500c",
    "L_X": "true luminosity",
    "forest-morphology": "morphology",
    "rings-gbm-1band": "photons in rings",
    "rings-gbm-3band": "photons in rings",
    "icm-1band": "map",
    "icm-3band": "map",
    "icm-multimodal": "map, galaxies",
}


def paper_networks() -> list[str]:
    """The paper's networks, and ours of the same input on the same clusters."""
    lines = [
        "| preset | network | clusters | epochs | the best | scatter | published | ours over it |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results("paper-networks")["rows"]:
        ours = row["ours_over"]
        epochs, best = (", ".join(map(str, row[key])) for key in ("epochs", "best_epoch"))
        cells = [f"`{row['preset']}`", f"`{row['network']}`", str(row["n"]), epochs, best]
        cells += [per_cent(row, "sigma_lnm"), f"{100 * row['published']:.1f}"]
        lines.append(table_row(*cells, f"{ours['ratio']:.2f} ± {ours['error']:.2f}"))
    return lines


def scores(preset: str) -> list[str]:
    """Proxies, regressions and networks on the survey of a preset, beside published values."""
    lines = [
        "| estimator | sees | clusters | scatter | the paper's score | published | bias "
        "| within 68 | within 95 | CRPS |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    found = {row["name"] for row in results(f"{preset}-3285")["estimators"]}
    for row in estimators(f"{preset}-3285", *(name for name in SCORED if name in found)):
        published = row.get("sigma_published")
        cells = [f"`{row['name']}`", SCORED[row["name"]], str(row["n"])]
        cells += [per_cent(row, "sigma_lnm"), per_cent(row, "sigma_paper")]
        cells += ["–" if published is None else f"{100 * published:.1f}"]
        keys = ("bias_lnm", "coverage68", "coverage95", "crps")
        cells += [f"{100 * row[key]:.1f}" for key in keys]
        lines.append(table_row(*cells))
    return lines


def out_of_domain() -> list[str]:
    """What is flagged as out of domain."""
    lines = ["| input | flagged, per cent |", "|---|---:|"]
    flagged = results("out-of-domain")["flagged"]
    return lines + [f"| {name} | {100 * share:.1f} |" for name, share in flagged.items()]


def learning_curve() -> list[str]:
    """Scatter by number of training clusters."""
    lines = [
        "| preset | network | bands | training clusters | epochs | scatter |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name in ("learning-curve", "learning-curve-phox"):
        found = results(name)
        for row in found["rows"]:
            cells = [f"`{found['preset']}`", f"`{row['name']}`", str(row["bands"])]
            cells += [f"{row['n_train']:,}", str(row["epochs"]), per_cent(row, "sigma_lnm")]
            lines.append(table_row(*cells))
    return lines


def erass() -> list[str]:
    """The bundled models on fresh surveys, beside count-rate masses."""
    lines = [
        "| survey | masses by | flagged | of them out of domain | bias | scatter | within 68 "
        "| within 95 | CRPS |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for survey, of_survey in results("erass")["surveys"].items():
        for name, model in of_survey["models"].items():
            for prior in ("training", "population"):
                row = model[prior]
                n = model["n"] + model["refused"]
                cells = [EROSITA_SURVEYS[survey], f"`{name}`, prior {prior}"]
                cells += [f"{100 * model['flagged'] / n:.1f}"]
                cells += [f"{100 * model['out_of_domain'] / n:.1f}"]
                cells += [per_cent(row, "bias_lnm", signed=True), per_cent(row, "sigma_lnm")]
                cells += [per_cent(row, key) for key in ("coverage68", "coverage95", "crps")]
                lines.append(table_row(*cells))
        rate = of_survey["count_rate"]
        for how in ("relation_inverted", "mean_mass_at_rate"):
            words = "count rate, " + how.replace("_", " ")
            scatter = f"{100 * rate[how]['sigma_lnm']:.1f}"
            lines.append(f"| {EROSITA_SURVEYS[survey]} | {words} | | | | {scatter} | | | |")
    return lines


def floor() -> list[str]:
    """Ideal observers, and the best network that has been trained."""
    table = import_module("floor_table").table(results("floor"))
    return str(table).splitlines()


def energy_bands() -> list[str]:
    """Ideal observers of maps in few and in many bands."""
    lines = ["| data | bands | gas unknown | AGN unknown |", "|---|---:|---:|---:|"]
    for data, name in (("three bands", "maps"), ("maps and galaxies", "maps and galaxies")):
        for bands, observed in results("energy-bands")["ideal_observer"].items():
            of = {row["told_all_but"]: row for row in observed["rows"] if row["data"] == data}
            bounds = (per_cent(of[told], "sigma_lnm") for told in ("gas unknown", "AGN unknown"))
            lines.append(table_row(name, bands, *bounds))
    return lines


def sbi() -> list[str]:
    """Networks and neural posterior estimation of the package sbi, on the same maps."""
    lines = [
        "| estimator | clusters | scatter | over ours | bias | within 68 | within 95 | CRPS "
        "| seconds a fold |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results("peer-sbi")["rows"]:
        cells = [f"`{row['name']}`", str(row["n_test"]), per_cent(row, "sigma_lnm")]
        cells += [f"{row['scatter_over_ours']:.2f} ± {row['scatter_over_ours_error']:.2f}"]
        cells += [f"{100 * row[key]:.1f}" for key in ("bias_lnm", "coverage68", "coverage95")]
        seconds = row["seconds"] / row["folds_fitted"]
        cells += [f"{100 * row['crps']:.1f}", f"{seconds:.0f}"]
        lines.append(table_row(*cells))
    return lines


def step_speed() -> list[str]:
    """Clusters a second and core through a training step, and the floor of the machine."""
    found = results("step-speed")["clusters_per_second"]
    names = list(found)
    lines = [table_row("how", *(f"`{name}`" for name in names))]
    lines += ["|---|" + "---:|" * len(names)]
    for how in found[names[0]]:
        cells = [f"{found[name][how]:,.0f}" for name in names]
        lines.append(f"| {how} | {' | '.join(cells)} |")
    return lines


def streams() -> list[str]:
    """Training on clusters read as they are needed, beside all in memory."""
    lines = [
        "| clusters | read | peak, MiB | before training, s | first epoch | later epochs "
        "| whole training |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    words = {"memory": "all before", "stream": "as needed"}
    for row in results("streams")["rows"]:
        first = row["trained_per_s_of_processor"]
        later = row.get("trained_later_per_s_of_processor", first)
        cells = [f"{row['n']:,}", words[row["kind"]], f"{row['peak_mib']:,}"]
        cells += [f"{row['processor_seconds_before_training']:.0f}", f"{first}", f"{later}"]
        lines.append(table_row(*cells, f"{row['whole_training_per_s_of_processor']}"))
    return lines
