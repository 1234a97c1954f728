"""Likelihoods p(x | ln M) of clusters as a FITS file for codes of number counts.

``LIKELIHOOD``: a row for each cluster, ``CLUSTER`` (name), ``REDSHIFT`` and the vector
``LIKELIHOOD``, p(x | ln M) at the nodes of ``LN_MASS``, per unit of ln M with an integral of 1 (its
norm says nothing: only its shape depends on M). ``LN_MASS``: ``LN_M500C``, ln(M500c / (Msun/h)),
and ``M500C`` [Msun], a row for each node, even in ln M. The header of ``LIKELIHOOD`` has the model,
the SHA-256 of its weights, whether the scale is calibrated, the cosmology, and that the prior of
the mass has been divided out: multiply with a mass function, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from icmass import __version__
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.survey.writers.files import check_new_file, new_file

_HINT = "give a file of `icmass predict --likelihood`"


@dataclass(frozen=True)
class LikelihoodTable:
    """Likelihoods of n clusters.

    Attributes
    ----------
    cluster : tuple of str
    redshift : ndarray, shape (n,)
    ln_mass : ndarray, shape (node,)
        ln(M500c / (Msun/h)), even.
    likelihood : ndarray, shape (n, node)
        p(x | ln M), of any norm.
    cosmology : Cosmology
        That sizes and distances were computed in.
    model : str
    sha256 : str or None
        Of the model's weights.
    is_calibrated : bool
        Whether the mass scale is marginalised.
    """

    cluster: tuple[str, ...]
    redshift: np.ndarray
    ln_mass: np.ndarray
    likelihood: np.ndarray
    cosmology: Cosmology
    model: str
    sha256: str | None = None
    is_calibrated: bool = False

    def write(self, file: str | Path, *, overwrite: bool = False) -> Path:
        """Write the FITS file.

        Raises
        ------
        InputError
            If its name does not end in ``.fits``, or it is there and `overwrite` is not set.
        """
        from astropy.io import fits

        path = check_likelihood_path(file, overwrite=overwrite)
        nodes = len(self.ln_mass)
        width = max(map(len, self.cluster), default=1)
        columns = [
            fits.Column("CLUSTER", f"{width}A", array=np.array(self.cluster, f"S{width}")),
            fits.Column("REDSHIFT", "D", array=self.redshift),
            fits.Column("LIKELIHOOD", f"{nodes}D", array=self.likelihood),
        ]
        table = fits.BinTableHDU.from_columns(columns, name="LIKELIHOOD")
        self._describe(table.header)
        grid = fits.BinTableHDU.from_columns(
            [
                fits.Column("LN_M500C", "D", array=self.ln_mass),
                fits.Column(
                    "M500C", "D", unit="solMass", array=np.exp(self.ln_mass) / self.cosmology.h
                ),
            ],
            name="LN_MASS",
        )
        grid.header["TCOMM1"] = "ln(M500c / (Msun/h))"
        grid.header["TCOMM2"] = f"M500c, h = {self.cosmology.h:g}"
        with new_file(path, overwrite=overwrite) as unfinished:
            fits.HDUList([fits.PrimaryHDU(), table, grid]).writeto(unfinished)
        return path

    def _describe(self, header: object) -> None:
        cards = {
            "TCOMM3": "p(x | ln M500c) at the nodes of LN_MASS, per unit of ln M",
            "CREATOR": f"icmass {__version__}",
            "MODEL": self.model,
            "SHA256": self.sha256,
            "CALIB": self.is_calibrated,
            "PRIORDIV": True,
            "GRIDEXT": "LN_MASS",
            **{name.upper(): value for name, value in self.cosmology.model_dump().items()},
        }
        for key, value in cards.items():
            if value is not None:
                header[key] = value  # type: ignore[index]
        comments = {"CALIB": "mass scale marginalised", "PRIORDIV": "training prior divided out"}
        for key, text in comments.items():
            header.comments[key] = text  # type: ignore[attr-defined]

    @classmethod
    def read(cls, file: str | Path) -> LikelihoodTable:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            If it is missing, damaged or another file.
        """
        from astropy.io import fits

        file = Path(file)
        if not file.is_file():
            raise InputError("no such file", file=file, hint=_HINT)
        try:
            with fits.open(file) as hdus:
                table, grid = hdus["LIKELIHOOD"], hdus["LN_MASS"]
                header = table.header
                cosmology = Cosmology(**{n: header[n.upper()] for n in Cosmology.model_fields})
                found = cls(
                    cluster=tuple(str(name).strip() for name in table.data["CLUSTER"]),
                    redshift=table.data["REDSHIFT"].astype("f8"),
                    ln_mass=grid.data["LN_M500C"].astype("f8"),
                    likelihood=table.data["LIKELIHOOD"].astype("f8"),
                    cosmology=cosmology,
                    model=str(header["MODEL"]),
                    sha256=header.get("SHA256"),
                    is_calibrated=bool(header["CALIB"]),
                )
        except (OSError, KeyError, ValueError, TypeError, ValidationError) as error:
            what = f"is no file of likelihoods ({type(error).__name__})"
            raise InputError(what, file=file, hint=_HINT) from None
        good = np.isfinite(found.likelihood) & (found.likelihood >= 0)
        if found.likelihood.shape != (len(found.cluster), len(found.ln_mass)) or not good.all():
            raise InputError("is damaged", file=file, field="LIKELIHOOD", hint=_HINT)
        return found


def check_likelihood_path(
    file: str | Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()
) -> Path:
    """Return the path of a file to write, or refuse it before the work is done.

    `inputs` are files that are read for it.
    """
    path = Path(file)
    if path.suffix.lower() != ".fits":
        what = f"{path.suffix or 'no suffix'} is not .fits"
        raise InputError(what, file=path, field="--likelihood", hint="call it NAME.fits")
    return check_new_file(path, overwrite=overwrite, inputs=inputs)
