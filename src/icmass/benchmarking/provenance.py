"""What a run's results say of its survey, its machine and the versions used."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import numpy as np
import xarray as xr

from icmass import __version__


def about_survey(survey: xr.Dataset, name: str) -> dict[str, Any]:
    """Return the extent of a survey in mass, redshift and exposure, under the name `name`."""
    log10_m = np.log10(survey["m500c"].values)
    redshift = survey["redshift"].values
    kept = ("preset", "seed", "version")
    return {
        "path": name,
        **{key: survey.attrs.get(key) for key in kept},
        "n_clusters": survey.sizes["cluster"],
        "bands_kev": [str(band) for band in survey["band"].values],
        "log10_m500c_msun_h": [log10_m.min(), np.median(log10_m), log10_m.max()],
        "redshift": [redshift.min(), np.median(redshift), redshift.max()],
        "exposure_s": float(np.median(survey["exposure"].values)),
    }


def versions() -> dict[str, str]:
    """Return the versions of this package and of what its numbers hang on."""
    torch = sys.modules.get("torch")
    return {
        "icmass": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        **({"torch": str(torch.__version__)} if torch else {}),
    }


def machine(device: str) -> dict[str, Any]:
    """Return the machine that networks ran on, asked to use `device`."""
    torch = sys.modules.get("torch")
    used = "cpu"
    if torch and device != "cpu" and torch.cuda.is_available():
        used = torch.cuda.get_device_name()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "device": used,
    }
