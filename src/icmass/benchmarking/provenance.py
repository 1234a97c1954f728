"""What a run's results say of its survey, its machine and the versions used."""

from __future__ import annotations

import os
import platform
import sys

import numpy as np
import xarray as xr

from icmass import __version__
from icmass.run.document import finite
from icmass.run.results import Machine, SurveyFacts


def about_survey(survey: xr.Dataset, name: str) -> SurveyFacts:
    """Return the extent of a survey in mass, redshift and exposure, under the name `name`."""
    log10_m = np.log10(survey["m500c"].values)
    redshift = survey["redshift"].values
    kept = ("preset", "seed", "version")
    facts = {
        "path": name,
        **{key: survey.attrs.get(key) for key in kept},
        "n_clusters": survey.sizes["cluster"],
        "bands_kev": [str(band) for band in survey["band"].values],
        "log10_m500c_msun_h": [log10_m.min(), np.median(log10_m), log10_m.max()],
        "redshift": [redshift.min(), np.median(redshift), redshift.max()],
        "exposure_s": np.median(survey["exposure"].values),
    }
    return SurveyFacts.of(finite(facts))


def versions() -> dict[str, str]:
    """Return the versions of this package and of what its numbers hang on."""
    torch = sys.modules.get("torch")
    return {
        "icmass": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        **({"torch": str(torch.__version__)} if torch else {}),
    }


def machine(device: str) -> Machine:
    """Return the machine that networks ran on, asked to use `device`."""
    torch = sys.modules.get("torch")
    used = "cpu"
    if torch and device != "cpu" and torch.cuda.is_available():
        used = torch.cuda.get_device_name()
    system = f"{platform.system()} {platform.machine()}"
    return Machine(system=system, cores=os.cpu_count(), device=used)
