"""Whether the clusters of a survey are what the table says of its halos."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.survey.simulate import simulator_of

CLOSE = 1e-3
"""Values that agree so well are as given."""


def honoured(survey: xr.Dataset) -> list[str]:
    """Return a line for each quantity that the table gives: how many clusters have it, how far off.

    Parameters
    ----------
    survey : Dataset
        Of `icmass simulate --catalogue`, whole.

    Raises
    ------
    InputError
        If it is of no table.
    """
    twins = simulator_of(survey).twins
    if twins is None:
        raise InputError("is of no table", field="survey", hint="give one of simulate --catalogue")
    n = survey.sizes["cluster"]
    lines = []
    for name in ("M_gas", "T", "M_star"):
        if twins.rows.has(name):
            lines.append(_line(name, np.log(survey[name].values / twins.rows[name][:n])))
    targets = [twins.target(i) for i in range(n)]
    outlier, has_light = twins.outlier[:n], np.isfinite([twins.light_of_row(i) for i in range(n)])
    if has_light.any():
        name = "L_X_soft" if twins.soft else "L_X_emitted"
        ln_light = np.log(survey[name].values)
        off = ln_light - np.array([target.ln_light for target in targets])
        whose = "the table's" if twins.twins.light == "emitted" else "the catalogue relation's"
        lines.append(_line(f"{name} ({whose})", np.where(has_light & ~outlier, off, np.nan)))
        lines.append(
            f"{int((has_light & outlier).sum())} outliers of L_X: kept in the catalogue's L_X "
            "(L_X_outlier), not in the photons"
        )
    if twins.rows.has("core_share"):
        name = "L_X_soft" if twins.soft else "L_X_emitted"
        share = 1 - survey[f"{name}_ce"].values / survey[name].values
        target_share = np.array([target.core_share for target in targets])
        lines.append(_line("core share", np.log(share / target_share)))
    return lines


def _line(name: str, off: np.ndarray) -> str:
    finite = np.isfinite(off)
    missed = np.abs(off[finite]) > CLOSE
    line = f"{name}: {int((~missed).sum())} of {int(finite.sum())} as given"
    if not missed.any():
        return line
    worst = float(off[finite][np.argmax(np.abs(off[finite]))])
    return f"{line}, {int(missed.sum())} at what the gas can give, by up to {worst:+.2f} in ln"
