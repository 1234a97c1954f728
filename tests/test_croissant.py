"""`icmass export --format croissant`: what is said of a store is what is in it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import icmass
from icmass.errors import InputError
from icmass.survey.catalog import VARIABLES


@pytest.fixture
def store(toy_survey: xr.Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "data" / "x.zarr"
    toy_survey.isel(cluster=slice(5)).to_zarr(path, consolidated=False)
    return path


def described(store: Path | xr.Dataset, out: Path, **how: Any) -> dict[str, Any]:
    icmass.export(store, "croissant", out, **how)
    return json.loads(out.read_text(encoding="utf-8"))


def fields(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = [field for records in document["recordSet"] for field in records["field"]]
    assert len({field["@id"] for field in found}) == len(found)
    return {field["name"]: field for field in found}


def test_every_variable_is_a_field_with_its_unit_and_meaning(store, toy_survey, tmp_path):
    made = fields(described(store, tmp_path / "m.json"))
    assert set(made) == set(map(str, toy_survey.variables))
    for name, about in VARIABLES.items():
        if name in made:
            assert made[name]["unitText"] == about.units, name
            assert made[name]["description"].startswith(about.long_name), name
            assert made[name]["source"]["extract"] == {"column": name}
    assert made["maps"]["description"].endswith(
        "uint16 (cluster 5, component 3, band 3, y 32, x 32)"
    )
    assert made["maps"]["dataType"] == "sc:Integer" and made["maps"]["repeated"]
    assert made["m500c"]["dataType"] == "sc:Float" and "repeated" not in made["m500c"]


def test_checksums_are_those_of_the_files(store, tmp_path):
    files = {part["@id"]: part for part in described(store, tmp_path / "m.json")["distribution"]}
    shell = "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    said = subprocess.run(shell, shell=True, cwd=store, capture_output=True, text=True, check=True)
    assert files["store"]["sha256"] == said.stdout.split()[0]
    whole = (store / "zarr.json").read_bytes()
    assert files["metadata"]["sha256"] == hashlib.sha256(whole).hexdigest()
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    assert files["store"]["contentSize"] == f"{size} B"


def test_one_changed_photon_changes_the_checksum(store, tmp_path):
    before = described(store, tmp_path / "a.json")["distribution"][0]["sha256"]
    chunk = next(file for file in (store / "maps" / "c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\x01")
    assert described(store, tmp_path / "b.json")["distribution"][0]["sha256"] != before


def test_the_store_is_named_from_where_the_description_lies(store, tmp_path):
    for out in (tmp_path / "m.json", tmp_path / "deep" / "down" / "m.json"):
        named = described(store, out)["distribution"][0]["contentUrl"]
        assert not os.path.isabs(named)
        assert (out.parent / named).resolve() == store.resolve()
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


def test_bands_stand_in_the_description(store, toy_survey, tmp_path):
    sets = {
        records["@id"]: records for records in described(store, tmp_path / "m.json")["recordSet"]
    }
    bands = [record["bands/band"] for record in sets["bands"]["data"]]
    assert bands == [str(band) for band in toy_survey["band"].values]
    assert sets["bands"]["key"] == {"@id": "bands/band"}


def test_licence_creator_and_citation(store, tmp_path):
    mock = described(store, tmp_path / "m.json")
    assert mock["license"] == "https://spdx.org/licenses/CC-BY-4.0"
    assert mock["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert "10.1093/mnras/stad2005" in mock["citeAs"] and mock["url"] == "data/x.zarr"
    given = {"license": "CC0-1.0", "creator": "A. Nother", "url": "https://example.org/x"}
    ours = described(store, tmp_path / "o.json", **given)
    assert ours["license"] == "https://spdx.org/licenses/CC0-1.0"
    assert ours["creator"]["name"] == "A. Nother" and ours["url"] == "https://example.org/x"


@pytest.mark.parametrize(
    ("version", "said"), [("0.2.0", "0.2.0"), ("0.2.0.dev0", "0.2.0-dev0"), ("test", None)]
)
def test_the_version_is_a_semantic_one(toy_survey, tmp_path, version, said):
    survey = toy_survey.isel(cluster=slice(2)).assign_attrs(version=version)
    survey.to_zarr(tmp_path / "v.zarr", consolidated=False)
    assert described(tmp_path / "v.zarr", tmp_path / "m.json").get("version") == said


def test_real_clusters_need_a_licence(toy_survey, tmp_path):
    store = tmp_path / "real.zarr"
    survey = toy_survey.isel(cluster=slice(2)).assign_attrs(observed="from events")
    survey.to_zarr(store, consolidated=False)
    with pytest.raises(InputError, match="license: is missing"):
        described(store, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()
    terms = "https://example.org/terms"
    real = described(store, tmp_path / "m.json", license=terms)
    assert real["license"] == terms and real["description"].startswith("Real galaxy clusters")


@pytest.mark.parametrize(
    ("out", "how", "said"),
    [
        ("m.yaml", {}, "out: .yaml is no JSON"),
        ("data/x.zarr/m.json", {}, "lies in the store that it describes"),
        ("m.json", {"index": [0]}, "index: has no part in croissant"),
        ("m.json", {"instrument": "xmm_pn"}, "instrument: has no part in croissant"),
        ("m.json", {"license": "no licence"}, "license: is 'no licence'"),
    ],
)
def test_what_cannot_be_used_is_said(store, tmp_path, out, how, said):
    with pytest.raises(InputError, match=said):
        icmass.export(store, "croissant", tmp_path / out, **how)
    assert not (tmp_path / out).exists()


def test_other_formats_have_no_licence(store, tmp_path):
    with pytest.raises(InputError, match="license: has no part in table"):
        icmass.export(store, "table", tmp_path / "t.ecsv", license="CC0-1.0")


def test_a_survey_in_memory_has_no_files(toy_survey, tmp_path):
    with pytest.raises(InputError, match="is in memory alone"):
        icmass.export(toy_survey, "croissant", tmp_path / "m.json")


def test_an_opened_survey_is_described_as_its_store(store, tmp_path):
    opened = icmass.open_survey(store)
    assert described(store, tmp_path / "a.json") == described(opened, tmp_path / "b.json")
    with pytest.raises(InputError, match="is no longer what is on disk"):
        described(opened.isel(cluster=np.arange(2)), tmp_path / "c.json")


def test_the_command_writes_and_does_not_overwrite(run_cli, store, tmp_path):
    call = ("export", store, "--format", "croissant", "--out", tmp_path / "m.json")
    ended = run_cli(*call, "--license", "CC0-1.0")
    assert (ended.returncode, ended.stdout.strip()) == (0, str(tmp_path / "m.json"))
    before = (tmp_path / "m.json").read_bytes()
    ended = run_cli(*call)
    assert ended.returncode == 2 and "exists already" in ended.stderr
    assert (tmp_path / "m.json").read_bytes() == before
    assert run_cli(*call, "--overwrite").returncode == 0


def test_mlcroissant_accepts_it_and_reads_the_bands(store, toy_survey, tmp_path):
    reason = "mlcroissant is not installed: pip install 'icmass[croissant]'"
    mlc = pytest.importorskip("mlcroissant", reason=reason)
    document = described(store, tmp_path / "m.json")
    dataset = mlc.Dataset(jsonld=str(tmp_path / "m.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    # a survey of tests has no semantic version, which is recommended
    assert all("version" in warning for warning in issues.warnings), issues.report()
    bands = [next(iter(record.values())) for record in dataset.records("bands")]
    bands = [band.decode() if isinstance(band, bytes) else band for band in bands]
    assert bands == [str(band) for band in toy_survey["band"].values]
    names = {field.name for records in dataset.metadata.record_sets for field in records.fields}
    assert names == set(fields(document))
    del document["distribution"][0]
    with pytest.raises(Exception, match="store"):
        mlc.Dataset(jsonld=document)
