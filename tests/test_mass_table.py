"""Predicted masses as a table: numbers, units, UCDs and where they come from."""

from __future__ import annotations

import copy
import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse, validate
from astropy.io.votable.ucd import parse_ucd
from astropy.table import Table

from icmass.cosmology import Cosmology
from icmass.inference.mass_table import mass_table, weights_sha256
from icmass.survey.writers.tables import SUFFIXES, write_table


def row(cluster: int, mass: float, **more: Any) -> dict[str, Any]:
    """Return a row of `icmass predict --json` whose posterior is 30 per cent wide."""
    levels = {"median": 1.0, "mean": 1.05, "p16": 0.74, "p84": 1.35, "p2.5": 0.55, "p97.5": 1.8}
    cosmology = Cosmology()
    r500c = float(cosmology.r500c(1e14 * mass, 0.3))
    return {
        "cluster": cluster,
        "redshift": 0.3,
        "exposure_s": 2000.0,
        "ra": 140.0,
        "dec": -3.0,
        "nh": 3.5,
        "ln_m500c": np.log(1e14 * mass),
        "ln_m500c_std": 0.3,
        "m500c_1e14_msun_h": {name: mass * of for name, of in levels.items()},
        "m500c_1e14_msun": {name: mass * of / cosmology.h for name, of in levels.items()},
        "r500c_mpc_h_comoving": r500c,
        "r500c_arcmin": r500c * float(cosmology.arcmin_per_mpc_h(0.3)),
        "photons": 1234,
        "photons_0.5_mpc_h": 321,
        "out_of_domain": 0.4,
        "flagged": False,
        **more,
    }


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Any]:
    """What `icmass predict --json` prints, of two clusters, with a model's folder."""
    for fold, weights in ((0, b"zero"), (1, b"one")):
        folder = tmp_path / "secret" / "icm-3band" / f"fold-{fold}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(weights)
    return {
        "model": {
            "name": "icm-3band",
            "folder": str(tmp_path / "secret" / "icm-3band"),
            "members": 2,
            "sigma_lnm": 0.17,
            "preset": "erosita",
            "n_train": 3285,
        },
        "cosmology": Cosmology().model_dump(),
        "prior": {"kind": "training", "is": "that of the training masses"},
        "clusters": [row(0, 2.0), row(7, 5.0)],
        "assumptions": ["Position and redshift are exact.", "No background is subtracted."],
        "warnings": [],
    }


def without_mass(found: dict[str, Any]) -> dict[str, Any]:
    """Return the document with a third cluster of which no mass could be given."""
    out = copy.deepcopy(found)
    empty = {"cluster": 9, "redshift": 0.2, "reasons": ["outside the field", "no exposure"]}
    empty |= dict.fromkeys(("ln_m500c", "ln_m500c_std", "out_of_domain", "flagged", "photons"))
    out["clusters"].append(empty | {"m500c_1e14_msun_h": None, "r500c_mpc_h_comoving": None})
    out["clusters"][0]["reasons"] = []
    out["clusters"][2]["m500c_below_1e14_msun_h"] = 0.9
    out["failed"] = [{"id": "A2", "why": "outside the files"}]
    return out


def test_masses_are_plain_with_and_without_h(found: dict[str, Any]) -> None:
    table = mass_table(found)
    assert list(table["id"]) == ["0", "7"] and list(table["cluster"]) == [0, 7]
    for key in ("median", "mean", "p16", "p84", "p2.5", "p97.5"):
        name = key.replace(".", "_")
        mass = [1e14 * r["m500c_1e14_msun_h"][key] for r in found["clusters"]]
        np.testing.assert_allclose(table[f"m500c_msun_h_{name}"], mass)
        plain = table[f"m500c_msun_{name}"].quantity.to_value("solMass")
        np.testing.assert_allclose(plain, [m / 0.704 for m in mass])
    assert table["m500c_msun_h_median"].unit is None
    assert "Msun/h, h = 0.704" in table["m500c_msun_h_p2_5"].description
    np.testing.assert_allclose(table["nh"].quantity.to_value("cm-2"), 3.5e20)
    np.testing.assert_allclose(
        table["r500c_arcmin"], [r["r500c_arcmin"] for r in found["clusters"]]
    )


def test_provenance(found: dict[str, Any], tmp_path: Path) -> None:
    meta = mass_table(found).meta
    assert (meta["model"], meta["folder"], meta["members"]) == ("icm-3band", "icm-3band", 2)
    assert meta["sha256"] == hashlib.sha256(b"zeroone").hexdigest()
    assert (meta["h"], meta["om0"], meta["prior"]) == (0.704, 0.272, "training")
    assert meta["assumes"] == found["assumptions"] and "mind" not in meta
    assert "secret" not in str(meta)
    assert meta["creator"].startswith("icmass ") and meta["date"].endswith("Z")
    assert weights_sha256(tmp_path / "elsewhere") is None


def test_truth_and_names_are_there_if_known(found: dict[str, Any]) -> None:
    assert "m500c_true_msun_h" not in mass_table(found).colnames
    found["clusters"] = [row(0, 2.0, m500c=2.2e14, id="A1689"), row(7, 5.0, m500c=4e14, id="Coma")]
    table = mass_table(found)
    np.testing.assert_allclose(table["m500c_true_msun_h"], [2.2e14, 4e14])
    assert list(table["id"]) == ["A1689", "Coma"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_clusters_without_mass_are_kept(found: dict[str, Any], tmp_path: Path, suffix: str) -> None:
    path = write_table(mass_table(without_mass(found)), tmp_path / f"m{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = Table.read(path)
    assert len(read) == 3
    for name in ("m500c_msun_h_median", "m500c_msun_p97_5", "ln_m500c_std", "out_of_domain"):
        values = np.ma.filled(np.ma.asarray(read[name], dtype=float), np.nan)
        np.testing.assert_array_equal(np.isnan(values), [False, False, True])
    np.testing.assert_allclose(read["m500c_msun_h_median"][:2], [2e14, 5e14])
    assert list(read["photons"][:2]) == [1234, 1234]
    assert not read["flagged"][0]
    if suffix == ".fits":  # FITS has no mask for them but NULL
        assert str(read["reasons"][2]) == "outside the field; no exposure"
    else:
        assert read["photons"].mask[2] and read["flagged"].mask[2]
        assert list(read["reasons"].astype(str))[2] == "outside the field; no exposure"


def test_columns_are_described_in_the_ivoas_words(found: dict[str, Any], tmp_path: Path) -> None:
    table = mass_table(without_mass(found))
    for name in table.colnames:
        parse_ucd(table[name].meta["ucd"], check_controlled_vocabulary=True)
        assert table[name].description
    path = write_table(table, tmp_path / "m.vot")
    assert "found no violations" in validate(str(path), output=None)
    inside = parse(str(path), verify="exception").get_first_table()
    infos = [(info.name, info.value) for info in inside.infos]
    assert ("model", "icm-3band") in infos
    assert [value for name, value in infos if name == "assumes"] == found["assumptions"]
    fields = {field.name: field for field in inside.fields}
    assert fields["m500c_msun_p16"].ucd == "phys.mass;stat.percentile"
    assert str(fields["m500c_msun_p16"].unit) == "solMass"
    np.testing.assert_array_equal(table["m500c_below_msun_h"], [np.nan, np.nan, 9e13])
    assert table.meta["failed"] == ["A2: outside the files"]
    header = fits.getheader(write_table(table, tmp_path / "m.fits"), 1)
    assert header["SHA256"] == table.meta["sha256"]
    assert "assumes: No background is subtracted." in list(header["HISTORY"])


def test_no_cluster_is_an_empty_table(found: dict[str, Any], tmp_path: Path) -> None:
    found["clusters"] = []
    for suffix in SUFFIXES:
        read = Table.read(write_table(mass_table(found), tmp_path / f"m{suffix}"))
        assert len(read) == 0 and "m500c_msun_h_median" in read.colnames
