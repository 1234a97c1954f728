"""The common estimator of proxies, against what a linear Gaussian problem allows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import load_file, save_file

from icmass.errors import InputError
from icmass.estimators.estimator import Estimator
from icmass.estimators.relation import ProxyRelation

LN_PIVOT = np.log(2e14)


def gaussian_survey(n: int = 6000, seed: int = 0, **changes: float) -> xr.Dataset:
    """Return clusters with Gaussian ln M and log-normal proxies: every optimum is known."""
    law = {"prior": 0.6, "noise": 0.3, "curve": 0.0, "grow": 0.0} | changes
    rng = np.random.default_rng(seed)
    mu = law["prior"] * rng.normal(size=n)
    z = rng.choice([0.07, 0.2, 0.33, 0.47], n)
    noise = law["noise"] * np.exp(law["grow"] * mu)
    ln_t = 0.64 * mu + 0.6 * z + 0.07 * rng.normal(size=n)
    ln_gas = 1.1 * mu + law["curve"] * mu**2 + noise * rng.normal(size=n)
    counts = rng.poisson(4000 * np.exp(1.3 * mu) * 10 ** (-5 * z) * 10)
    one = np.ones(n)
    return xr.Dataset(
        {
            "m500c": ("cluster", np.exp(mu + LN_PIVOT)),
            "redshift": ("cluster", z),
            "exposure": ("cluster", 2000 * one),
            "T": ("cluster", 3 * np.exp(ln_t)),
            "M_gas": ("cluster", 2e13 * np.exp(ln_gas)),
            "n_phot": ("cluster", counts.astype(float)),
        },
        attrs={"preset": "test", "seed": seed},
    )


def fitted(name: str, survey: xr.Dataset, n_train: int = 4000) -> ProxyRelation:
    relation = ProxyRelation.from_name(name)
    relation.fit(survey, np.arange(n_train))
    return relation


def residual_and_std(
    relation: ProxyRelation, survey: xr.Dataset, start: int = 4000
) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(start, survey.sizes["cluster"])
    prediction = relation.predict(survey, index)
    return prediction.mean - np.log(survey["m500c"].values[index]), prediction.std


def test_is_an_estimator() -> None:
    relation = ProxyRelation.from_name("M_gas + T")
    assert isinstance(relation, Estimator)
    assert relation.name == "T+M_gas"
    assert relation.kind == "ideal"
    assert relation.inputs == ("T", "M_gas", "redshift")
    counts = ProxyRelation.from_name("N_phot_r500")
    assert counts.kind == "observed"
    apertures = {"n_phot_r500", "n_phot_2r500", "r500c"}
    assert set(counts.inputs) == {*apertures, "n_phot", "exposure", "redshift"}
    with pytest.raises(InputError, match="no such proxy"):
        ProxyRelation.from_name("icm-3band")


def test_reaches_the_bayes_scatter() -> None:
    """Prior width p and noise s/alpha: posterior width (p^-2 + (alpha/s)^2)^-1/2."""
    survey = gaussian_survey()
    relation = fitted("M_gas", survey)
    residual, std = residual_and_std(relation, survey)
    expected = (0.6**-2 + (1.1 / 0.3) ** 2) ** -0.5
    assert np.std(residual) == pytest.approx(expected, rel=4 / np.sqrt(2 * 2000))
    assert abs(np.mean(residual)) < 4 * expected / np.sqrt(2000) * np.sqrt(1.5)
    np.testing.assert_allclose(std, expected, rtol=4 / np.sqrt(2 * 4000))
    assert relation.terms == "linear"
    assert relation.n_parameters == 4  # 1, M_gas, redshift; one scatter


def test_evolution_is_taken_out() -> None:
    survey = gaussian_survey()
    residual, _ = residual_and_std(fitted("T", survey), survey)
    expected = (0.6**-2 + (0.64 / 0.07) ** 2) ** -0.5
    assert np.std(residual) == pytest.approx(expected, rel=4 / np.sqrt(2 * 2000))


def test_combination_adds_information() -> None:
    survey = gaussian_survey()
    residual, _ = residual_and_std(fitted("T+M_gas", survey), survey)
    expected = (0.6**-2 + (0.64 / 0.07) ** 2 + (1.1 / 0.3) ** 2) ** -0.5
    assert np.std(residual) == pytest.approx(expected, rel=4 / np.sqrt(2 * 2000))


def test_curvature_is_found() -> None:
    survey = gaussian_survey(noise=0.05, curve=0.15)
    relation = fitted("M_gas", survey)
    assert relation.terms == "quadratic"
    residual, _ = residual_and_std(relation, survey)
    straight = ProxyRelation.from_name("M_gas")
    straight.terms = "linear"
    ln_gas = np.log(survey["M_gas"].values)
    line = np.polyval(np.polyfit(ln_gas, np.log(survey["m500c"].values), 1), ln_gas)
    assert np.std(residual) < 0.8 * np.std(line - np.log(survey["m500c"].values))


def test_scatter_that_varies_is_calibrated() -> None:
    survey = gaussian_survey(grow=-0.8, noise=0.2)
    residual, std = residual_and_std(fitted("M_gas", survey), survey)
    wide = std > np.median(std)
    assert np.median(std[wide]) > 1.3 * np.median(std[~wide])
    for part in (wide, ~wide):
        inside = np.mean(abs(residual[part]) < std[part])
        assert inside == pytest.approx(0.683, abs=4 * np.sqrt(0.683 * 0.317 / 1000) + 0.02)


def test_clusters_without_a_photon_have_a_mass() -> None:
    survey = gaussian_survey()
    survey["n_phot"][4000:4010] = 0
    relation = fitted("N_phot", survey)
    prediction = relation.predict(survey, np.arange(4000, 4100))
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std > 0).all()
    assert prediction.mean[:10].max() < prediction.mean[10:].min()


def test_exposure_does_not_change_the_mass() -> None:
    survey = gaussian_survey()
    longer = survey.assign(exposure=2 * survey["exposure"], n_phot=2 * survey["n_phot"] + 1)
    relation = fitted("N_phot", survey)
    index = np.arange(4000, 6000)
    np.testing.assert_allclose(
        relation.predict(longer, index).mean, relation.predict(survey, index).mean
    )


def test_test_clusters_do_not_touch_the_fit() -> None:
    survey = gaussian_survey(n=5000)
    changed = survey.copy(deep=True)
    changed["n_phot"][4000:] *= 100
    changed["m500c"][4000:] *= 7
    changed["redshift"][4000:] = 0.3
    one, other = fitted("N_phot", survey), fitted("N_phot", changed)
    same = np.arange(4000)
    np.testing.assert_array_equal(one.predict(survey, same).mean, other.predict(survey, same).mean)
    assert one.n_parameters == other.n_parameters > 4


def test_one_redshift(toy_survey: xr.Dataset) -> None:
    survey = toy_survey.isel(cluster=toy_survey["snapshot"].values == 1)
    relation = ProxyRelation.from_name("T+N_phot")
    relation.fit(survey, np.arange(survey.sizes["cluster"]))
    prediction = relation.predict(survey, np.arange(5))
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std < 0.5).all()


@pytest.mark.parametrize("name", ["T+M_gas", "N_phot_2r500+N_phot"])
def test_saved_and_loaded(name: str, toy_survey: xr.Dataset, tmp_path: Path) -> None:
    relation = ProxyRelation.from_name(name)
    relation.fit(toy_survey, np.arange(64))
    relation.save(tmp_path)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["estimator"] == "proxy"
    assert config["n_train"] == 64
    assert config["survey"]["preset"] == "test"
    again = ProxyRelation.load(tmp_path)
    index = np.arange(64, 96)
    np.testing.assert_array_equal(
        again.predict(toy_survey, index).mean, relation.predict(toy_survey, index).mean
    )
    np.testing.assert_array_equal(
        again.predict(toy_survey, index).std, relation.predict(toy_survey, index).std
    )
    assert (again.name, again.kind, again.inputs) == (relation.name, relation.kind, relation.inputs)
    assert again.n_parameters == relation.n_parameters
    assert relation.name in (tmp_path / "README.md").read_text()


def test_damaged_models(toy_survey: xr.Dataset, tmp_path: Path) -> None:
    relation = ProxyRelation.from_name("N_phot")
    relation.fit(toy_survey, np.arange(96))
    relation.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    arrays = load_file(weights)
    arrays.pop("normalisation")
    save_file(arrays, weights)
    with pytest.raises(InputError, match="normalisation"):
        ProxyRelation.load(tmp_path)
    weights.write_bytes(b"\x80\x04no pickle")
    with pytest.raises(InputError, match="not a saved proxy relation"):
        ProxyRelation.load(tmp_path)
    weights.unlink()
    with pytest.raises(InputError, match="missing"):
        ProxyRelation.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not a saved proxy relation"):
        ProxyRelation.load(tmp_path)


def test_bad_input(toy_survey: xr.Dataset) -> None:
    relation = ProxyRelation.from_name("T")
    with pytest.raises(InputError, match="not been fitted"):
        relation.predict(toy_survey, np.arange(3))
    with pytest.raises(InputError, match="too few"):
        relation.fit(toy_survey, np.arange(19))
    with pytest.raises(InputError, match="variable T"):
        relation.fit(toy_survey.drop_vars("T"), np.arange(96))
    with pytest.raises(InputError, match="variable m500c"):
        relation.fit(toy_survey.drop_vars("m500c"), np.arange(96))
    relation.fit(toy_survey, np.arange(96))
    far = toy_survey.assign(redshift=toy_survey["redshift"] + 1)
    with pytest.raises(InputError, match="outside the training range"):
        relation.predict(far, np.arange(3))
