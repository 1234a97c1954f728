"""Training on clusters that are simulated meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from icmass.benchmarking.train_streams import train_online
from icmass.cli.options import parse_count
from icmass.errors import InputError
from icmass.estimators.registry import load_estimator
from icmass.face.training import ONLINE_ABOVE, _is_online
from icmass.survey.blocks import simulate_block
from icmass.survey.catalog import galaxies, open_survey
from icmass.survey.presets import resolve_config
from icmass.survey.write import simulate_survey
from icmass.training import online
from icmass.training.devices import Processes, make_accelerator
from icmass.training.model_specs import MODEL_SPECS
from icmass.training.online import Block, Plan, SimulatedClusters, make_block

CONFIG = resolve_config("demo", assignments=("observe.n_pixels=32",))
PRIOR = resolve_config("demo", assignments=("observe.n_pixels=32",), physics="prior", universes=5)
SIZES = {"block": 8, "round": 2, "head": 3}
OPTIONS = {
    "sum_bands": True,
    "max_pixels": None,
    "coverage_channel": True,
    "with_nh": True,
    "with_parts": True,
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Simulate in this process, and note which blocks."""
    made: list[int] = []

    class Here:
        def __init__(self, workers: int) -> None:
            self.workers = workers

        def submit(self, function: Callable, plan: Plan, options: dict, number: int) -> object:
            made.append(number)
            block = function(plan, options, number)
            return type("Done", (), {"result": lambda self: block, "cancel": lambda self: True})()

        def shutdown(self, cancel_futures: bool) -> None:
            pass

    monkeypatch.setattr(online, "_pool", Here)
    return made


def plan(n: int = 44, reuse: int = 1) -> Plan:
    return Plan(CONFIG.model_dump_json(), 5, n, reuse, **SIZES)


def masses(clusters: SimulatedClusters, epochs: range, rank: int = 0, number: int = 1) -> list:
    source = clusters.source(lambda lnm: torch.from_numpy(lnm))
    processes = Processes(make_accelerator("cpu"))
    processes.rank, processes.number = rank, number
    source.start(processes, torch.device("cpu"), 4)
    return [[lnm.numpy() for _, lnm in source.buffers(epoch)] for epoch in epochs]


@pytest.mark.parametrize("config", [CONFIG, PRIOR], ids=["one physics", "prior"])
def test_a_block_is_that_part_of_a_survey_of_any_size(config: object, tmp_path: Path) -> None:
    simulate_survey(config, n_clusters=9, seed=5, out=tmp_path / "x.zarr", chunk=4)  # type: ignore[arg-type]
    survey = open_survey(tmp_path / "x.zarr")
    block = simulate_block(config.model_dump_json(), 5, 3, 8)  # type: ignore[attr-defined]
    part = survey.isel(cluster=slice(3, 8))
    for name in survey.data_vars:
        if survey[name].dims[:1] == ("cluster",):
            np.testing.assert_array_equal(block[name].values, part[name].values, err_msg=str(name))
    for i in range(5):
        for name, values in galaxies(survey, 3 + i).items():
            np.testing.assert_array_equal(galaxies(block, i)[name], values)


def test_rounds_are_all_clusters_once_and_halos_stay_apart(here: list[int]) -> None:
    whole = simulate_block(CONFIG.model_dump_json(), 5, 0, 44)
    halo = dict(zip(np.log(whole["m500c"].values), whole["halo_id"].values, strict=True))
    with SimulatedClusters(plan(), OPTIONS, 5) as clusters:
        rounds = masses(clusters, range(3))
        assert sorted(here) == list(range(6)), "each block is simulated once"
        seen = [mass for buffers in rounds for lnm in buffers for mass in lnm]
        scored = np.log(clusters.scored_table["m500c"].values)
        left_out = {halo[m] for m in [*scored, *clusters.validation[1]]}
        assert len(left_out) >= 4 and len(scored) >= 2 and clusters.n_held >= 2
        assert {halo[m] for m in scored}.isdisjoint(halo[m] for m in clusters.validation[1])
        expected = [m for m, h in halo.items() if h not in left_out]
        np.testing.assert_array_equal(np.sort(seen), np.sort(expected))
        first = np.concatenate(rounds[0])
        own = [m for m in np.log(whole["m500c"].values[:16]) if halo[m] not in left_out]
        np.testing.assert_array_equal(first, own)
        # going on from the second round makes the same
        again = masses(clusters, range(1, 3))
        for a, b in zip(rounds[1] + rounds[2], again[0] + again[1], strict=True):
            np.testing.assert_array_equal(a, b)


def test_reuse_and_ranks(here: list[int]) -> None:
    with SimulatedClusters(plan(reuse=3), OPTIONS, 5) as clusters:
        (once,) = masses(clusters, range(1))
        assert len(once) % 3 == 0
        np.testing.assert_array_equal(once[0], once[1])
    with SimulatedClusters(plan(), OPTIONS, 5) as clusters:
        alone = np.concatenate(masses(clusters, range(1, 2))[0])
        parts = [np.concatenate(masses(clusters, range(1, 2), rank, 2)[0]) for rank in range(2)]
    assert not set(parts[0]) & set(parts[1])
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.sort(alone))


def test_processes_give_the_same_blocks_in_their_order() -> None:
    simulators = online.Simulators(plan(n=20), OPTIONS, workers=2)
    try:
        simulators.ask_for([0, 1, 2])
        blocks: list[Block] = [simulators.next() for _ in range(3)]
    finally:
        simulators.close()
    for number, block in enumerate(blocks):
        here = make_block(plan(n=20), OPTIONS, number)
        assert here.arrays.keys() == block.arrays.keys() >= {"counts", "parts", "redshift", "nh"}
        for name, values in here.arrays.items():
            np.testing.assert_array_equal(values, block.arrays[name])


@pytest.mark.usefixtures("here")
def test_a_killed_online_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    assert MODEL_SPECS["icm-1band"].training_config.patience is None
    given = {"seed": 5, "device": "cpu", "plan": SIZES}

    def kill(epoch: object) -> None:
        raise KeyboardInterrupt

    def train(name: str, epochs: Callable | None = None) -> dict[str, torch.Tensor]:
        work = {"work": tmp_path / f"{name}.partial"}
        train_online(CONFIG, 44, "icm-1band", tmp_path / name, epochs=epochs, **work, **given)  # type: ignore[arg-type]
        return load_estimator(tmp_path / name, device="cpu").networks[0].state_dict()  # type: ignore[attr-defined]

    with pytest.raises(KeyboardInterrupt):
        train("killed", kill)
    seen: list[int] = []
    resumed = train("killed", lambda epoch: seen.append(epoch.epoch))
    assert seen == [2, 3]
    whole = train("whole")
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert config["n_epochs"] == 3 and config["mass_prior"] is not None
    results = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert results["survey"]["n_clusters"] == 44
    assert results["n_train"] + results["estimators"][0]["n"] == 44


def test_what_is_trained_online() -> None:
    given = {"online": False, "reuse": 1, "max_epochs": None}
    assert not _is_online(ONLINE_ABOVE, "icm-3band", **given)  # type: ignore[arg-type]
    assert _is_online(ONLINE_ABOVE + 1, "icm-3band@2", **given)  # type: ignore[arg-type]
    assert not _is_online(ONLINE_ABOVE + 1, "L_X", **given)  # type: ignore[arg-type]
    wrong = [
        ("L_X", {"online": True}, "--online"),
        ("icm-3band", {"reuse": 2}, "--reuse"),
        ("icm-3band", {"online": True, "max_epochs": 3}, "--max-epochs"),
    ]
    for model, changed, field in wrong:
        with pytest.raises(InputError) as error:
            _is_online(30, model, **(given | changed))  # type: ignore[arg-type]
        assert error.value.field == field


def test_numbers_of_clusters_may_be_written_with_an_exponent() -> None:
    written = {"1e6": 1_000_000, "2.5e3": 2500, "30": 30, "1E+2": 100}
    assert {text: parse_count(text, 20) for text in written} == written
    for text in ("1e0", "2.55e1", "many", "1.5", "1e", "-30", "19", "nan"):
        with pytest.raises(InputError, match="a whole number"):
            parse_count(text, 20)


def test_the_command_trains_online(tmp_path: Path, run_cli: Callable, here: list[int]) -> None:
    given = ("train", "--preset", "demo", "--set", "observe.n_pixels=32", "--n", "2.4e1")
    given += ("--model", "icm-1band", "--device", "cpu", "--online", "--reuse", "2")
    given += ("--physics", "prior", "--universes", "3")
    done = run_cli(*given, "--out", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"] and here == [0]
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert json.loads(config["survey"]["config"])["physics"]["universes"] == 3
    many = run_cli(*given[:-1], 30, "--out", tmp_path / "other")
    assert many.returncode == 2 and "30 universes cannot share 24 clusters" in many.stderr
