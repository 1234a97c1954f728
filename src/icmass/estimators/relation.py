"""Mass from scalar proxies: the estimator that is common to every set of proxies.

ln M500c is regressed on the logarithms of the proxies and on the redshift. How many terms it gets,
and whether its standard deviation varies, is decided on the training clusters by the Bayesian
information criterion.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from icmass import __version__
from icmass.errors import InputError
from icmass.estimators.card import card_metadata, with_metadata
from icmass.estimators.estimator import Kind, Prediction, check_inputs, check_redshifts
from icmass.estimators.info import EstimatorInfo, TrainingExtent
from icmass.files import write_text
from icmass.main_process import is_main
from icmass.proxies.names import PROXIES, kind_of, log_proxies, parse_names, read_scalar
from icmass.proxies.observables import APERTURES
from icmass.proxies.scaling import MIN_CLUSTERS, RedshiftNormalisation
from icmass.survey.catalog import half_width_mpc_h

FORMAT = 1


def _linear(f: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    return [np.ones(len(z)), *f.T, z]


def _evolving(f: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    return [*_linear(f, z), z**2, *(f * z[:, None]).T]


def _quadratic(f: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    k = f.shape[1]
    return [*_evolving(f, z), *(f[:, i] * f[:, j] for i in range(k) for j in range(i, k))]


TERMS: dict[str, Callable[[np.ndarray, np.ndarray], list[np.ndarray]]] = {
    "linear": _linear,
    "evolving": _evolving,
    "quadratic": _quadratic,
}
"""Terms of the regression, of the standardised ln proxies f (n, k) and redshift z (n,)."""


class ProxyRelation:
    """ln M500c from one proxy or a set, by regression on training clusters.

    Parameters
    ----------
    proxies : tuple of str
        Names of `icmass.proxies.names.PROXIES`; put in canonical order.

    Notes
    -----
    Photon counts are first put on one exposure, those in apertures net of the local background
    (`log_proxies`), and scaled by the redshift normalisation of Ho et al. (2023), fitted on the
    training clusters alone. Of the models ``linear`` (1, f, z), ``evolving`` (and z^2, f z) and
    ``quadratic`` (and f_i f_j), in the standardised ln proxies f and redshift z, the one of the
    lowest BIC is kept. The standard deviation is constant or
    exp(c0 + c1 mean + c2 z), again by BIC, plus the uncertainty of the coefficients.

    Examples
    --------
    >>> ProxyRelation.from_name("M_gas+T").name
    'T+M_gas'
    """

    def __init__(self, proxies: tuple[str, ...]) -> None:
        self.proxies = parse_names("+".join(proxies))
        self.name = "+".join(self.proxies)
        self.kind: Kind = kind_of(self.proxies)
        self.counts = any(PROXIES[name].counts for name in self.proxies)
        variables = [PROXIES[name].variable for name in self.proxies]
        if any(variable in APERTURES for variable in variables):
            variables += [*APERTURES, "r500c"]
        if self.counts:
            variables += ["n_phot", "exposure"]
        self.inputs: tuple[str, ...] = tuple(dict.fromkeys([*variables, "redshift"]))
        self.terms = "linear"
        self._array: dict[str, np.ndarray] = {}
        self._about: dict[str, Any] = {}

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Return the relation of a name such as ``"T+M_gas"``, its proxies in any order."""
        return cls(parse_names(name))

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters: coefficients, scatter, redshift normalisation."""
        fitted = ("coefficients", "ln_std", "normalisation")
        return sum(int(np.count_nonzero(self._array[k])) for k in fitted if k in self._array)

    @property
    def info(self) -> EstimatorInfo:
        """What the relation says of itself."""
        return EstimatorInfo(
            kind=self.kind,
            inputs=self.inputs,
            proxies=self.proxies,
            n_parameters=self.n_parameters,
            training=TrainingExtent.of_config(self._about) if self._about else None,
        )

    def fit(self, survey: xr.Dataset, train: np.ndarray) -> None:
        """Fit on the clusters `train` alone."""
        train = np.asarray(train)
        if len(train) < MIN_CLUSTERS:
            raise InputError(
                f"{len(train)} clusters are too few to fit {self.name}",
                hint=f"give at least {MIN_CLUSTERS}",
            )
        check_inputs(survey, self.info, train)
        mass = read_scalar(survey, "m500c", train)
        z = read_scalar(survey, "redshift", train)
        self._array = {}
        if self.counts:
            ln_total = log_proxies(survey, ["N_phot"], train)[:, 0]
            norm = RedshiftNormalisation.fit(z, ln_total)
            self._array["normalisation"] = np.array([norm.a, norm.b])
        features = self._features(survey, train)
        self._array["mean"] = features.mean(axis=0)
        self._array["scale"] = _scale(features)
        self._fit_mean((features - self._array["mean"]) / self._array["scale"], np.log(mass))
        self._about = _training(survey, z, np.log(mass))

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        """Predict ln M500c of the clusters `index`."""
        if not self._array:
            raise InputError(f"{self.name} has not been fitted", hint="fit or load it first")
        index = np.asarray(index)
        raw = self._features(survey, index)
        check_redshifts(raw[:, -1], self._about["redshift_range"], self.name)
        x = (raw - self._array["mean"]) / self._array["scale"]
        design = _design(self.terms, x)
        mean = design @ self._array["coefficients"]
        scatter = np.exp(self._std_design(mean, x[:, -1]) @ self._array["ln_std"])
        spread = np.einsum("ni,ij,nj->n", design, self._array["inverse"], design)
        return Prediction(mean, scatter * np.sqrt(1 + np.maximum(spread, 0)))

    def _array_names(self) -> tuple[str, ...]:
        return (*_ARRAYS, "normalisation") if self.counts else _ARRAYS

    def _features(self, survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
        """Return the ln proxies and the redshift, shape (n, k + 1)."""
        z = read_scalar(survey, "redshift", index)
        ln_s = log_proxies(survey, self.proxies, index)
        if self.counts:
            factor = RedshiftNormalisation(*self._array["normalisation"]).ln_factor(z)
            ln_s[:, [PROXIES[name].counts for name in self.proxies]] += factor[:, None]
        return np.column_stack([ln_s, z])

    def _fit_mean(self, x: np.ndarray, ln_mass: np.ndarray) -> None:
        n = len(ln_mass)
        best = np.inf
        for terms in TERMS:
            design = _design(terms, x)
            rank = np.linalg.matrix_rank(design)
            if n < 2 * rank + 2:
                continue
            coefficients = np.linalg.lstsq(design, ln_mass, rcond=None)[0]
            residual = ln_mass - design @ coefficients
            bic = n * np.log(np.mean(residual**2) + 1e-30) + rank * np.log(n)
            if bic < best:
                best, self.terms = bic, terms
                self._array["coefficients"] = coefficients
                self._array["inverse"] = np.linalg.pinv(design.T @ design, hermitian=True)
        design = _design(self.terms, x)
        mean = design @ self._array["coefficients"]
        dof = n - np.linalg.matrix_rank(design)
        residual = (ln_mass - mean) * np.sqrt(n / dof)
        self._array["std_pivot"] = np.array([mean.mean(), mean.std() or 1.0])
        standard = (mean - mean.mean()) / self._array["std_pivot"][1]
        self._array["std_range"] = np.array(
            [[standard.min(), x[:, -1].min()], [standard.max(), x[:, -1].max()]]
        )
        self._array["ln_std"] = _fit_ln_std(self._std_design(mean, x[:, -1]), residual)

    def _std_design(self, mean: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return 1, the standardised prediction and redshift, inside their training range."""
        centre, scale = self._array["std_pivot"]
        columns = np.column_stack([(mean - centre) / scale, z])
        return np.column_stack([np.ones(len(z)), np.clip(columns, *self._array["std_range"])])

    def save(self, directory: Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a model card, ``README.md``.

        Of several processes the main one writes.
        """
        from safetensors.numpy import save_file

        if not is_main():
            return
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        arrays = {key: np.ascontiguousarray(value) for key, value in self._array.items()}
        save_file(arrays, directory / "model.safetensors")
        config = {
            "estimator": "proxy",
            "format": FORMAT,
            "name": self.name,
            "kind": self.kind,
            "inputs": list(self.inputs),
            "terms": self.terms,
            "n_parameters": self.n_parameters,
            **self._about,
            "versions": {"icmass": __version__, "numpy": np.__version__},
        }
        write_text(directory / "config.json", json.dumps(config, indent=2) + "\n")
        card = with_metadata(_model_card(self, config), card_metadata(config))
        write_text(directory / "README.md", card)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a relation that `save` wrote."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        directory = Path(directory)
        hint = "give the folder of a saved estimator"
        try:
            config = json.loads((directory / "config.json").read_text())
            relation = cls.from_name(config["name"])
            relation.terms = config["terms"]
            relation._about = {key: config[key] for key in _ABOUT}
            relation._about |= {key: config[key] for key in _MAPS if key in config}
            TrainingExtent.of_config(relation._about)
            arrays = load_file(directory / "model.safetensors")
            relation._array = {key: arrays[key] for key in relation._array_names()}
        except FileNotFoundError as error:
            raise InputError("is missing", file=error.filename, hint=hint) from None
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(
                f"is not a saved proxy relation ({error})", file=directory, hint=hint
            ) from None
        if config.get("estimator") != "proxy" or relation.terms not in TERMS:
            raise InputError("is not a saved proxy relation", file=directory, hint=hint)
        return relation


_ARRAYS = (
    "mean",
    "scale",
    "coefficients",
    "inverse",
    "std_pivot",
    "std_range",
    "ln_std",
)
_MAPS = ("bands", "n_pixels", "half_width_mpc_h")
_ABOUT = ("redshift_range", "m500c_range_msun_h", "n_train", "survey")


def _training(survey: xr.Dataset, z: np.ndarray, ln_mass: np.ndarray) -> dict[str, Any]:
    """Return what the training clusters were."""
    about = {key: survey.attrs[key] for key in ("preset", "seed", "version") if key in survey.attrs}
    maps = {}
    if "maps" in survey:
        maps = {
            "bands": [str(band) for band in survey["band"].values],
            "n_pixels": survey.sizes["x"],
            "half_width_mpc_h": half_width_mpc_h(survey),
        }
        about["cosmology"] = survey.attrs["cosmology"]
    return {
        **maps,
        "redshift_range": [float(z.min()), float(z.max())],
        "m500c_range_msun_h": [float(np.exp(ln_mass.min())), float(np.exp(ln_mass.max()))],
        "n_train": len(z),
        "survey": {key: v.item() if isinstance(v, np.generic) else v for key, v in about.items()},
    }


def _scale(features: np.ndarray) -> np.ndarray:
    std = features.std(axis=0)
    return np.where(std > 1e-9, std, 1.0)


def _design(terms: str, x: np.ndarray) -> np.ndarray:
    return np.stack(TERMS[terms](x[:, :-1], x[:, -1]), axis=1)


def _fit_ln_std(design: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return c of ln std = design @ c by maximum likelihood, only c[0] free unless BIC wants all.

    The Gaussian likelihood is convex in c, so any minimum is the minimum.
    """
    from scipy.optimize import minimize

    def loss(c: np.ndarray) -> tuple[float, np.ndarray]:
        ln_std = design @ c
        squared = residual**2 * np.exp(-2 * ln_std)
        return float(np.sum(ln_std + squared / 2)), design.T @ (1 - squared)

    constant = np.zeros(design.shape[1])
    constant[0] = np.log(max(np.sqrt(np.mean(residual**2)), 1e-6))
    free = minimize(loss, constant, jac=True, method="BFGS").x
    gain = 2 * (loss(constant)[0] - loss(free)[0])
    return free if gain > (len(free) - 1) * np.log(len(residual)) else constant


def _model_card(relation: ProxyRelation, config: dict[str, Any]) -> str:
    low, high = np.log10(config["m500c_range_msun_h"])
    z_low, z_high = config["redshift_range"]
    labels = ", ".join(PROXIES[name].label for name in relation.proxies)
    trained = ", ".join(f"{key} {value}" for key, value in config["survey"].items())
    return f"""# {relation.name}

M500c of a galaxy cluster from {labels} and redshift: a regression of ln M500c
({relation.kind} proxies, {config["terms"]} terms, {relation.n_parameters} parameters).

- Trained on {config["n_train"]} mock clusters ({trained}), icmass {__version__}.
- Valid for redshifts {z_low:.3f} to {z_high:.3f}, log10 M500c [Msun/h] {low:.2f} to {high:.2f}.
  Predictions are drawn towards the masses of the training clusters.
- Apertures in units of R500c are taken as known.
- Read it with `icmass.estimators.relation.ProxyRelation.load`.
"""
