"""The script of the upper bound: shards, rounds within a time, kills, and what it writes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import beta_model_survey, with_galaxies

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import upper_bound
import upper_bound_clusters
import upper_bound_fit
from upper_bound_clusters import Plan, TimedClusters, TimedRounds
from upper_bound_shards import Shard, Shards, Simulation, shards_of, simulate_shards

from icmass.survey.blocks import simulate_block
from icmass.survey.presets import resolve_config
from icmass.training.model_specs import LARGE_TRAINING, MODEL_SPECS
from icmass.training.sample import read_sample
from icmass.training.schedules import SCHEDULES

CPU = torch.device("cpu")
N, N_TEST = 48, 12
OPTIONS = MODEL_SPECS["icm-large-multimodal"].read_options(coverage=False, with_parts=True)


def toy(config: str, seed: int, start: int, stop: int) -> xr.Dataset:
    """Clusters in place of the simulator's, of maps as large as the preset demo's."""
    survey = with_galaxies(beta_model_survey(stop, n_pixels=64, seed=seed), seed)
    number = survey["galaxy_offset"].values
    survey = survey.isel(cluster=slice(start, stop), galaxy=slice(number[start], number[stop]))
    survey = survey.drop_vars("galaxy_offset")
    return survey.assign(galaxy_offset=("cluster_edge", number[start:] - number[start]))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which everything has been simulated."""
    monkeypatch.setattr("icmass.survey.blocks.simulate_block", toy)
    (tmp_path / "shards").mkdir()
    for kind, n in (("train", N), ("test", N_TEST)):
        wanted = shards_of("demo", kind, n, N // 8)
        simulate_shards(tmp_path / "shards", wanted, os.getppid())
    return tmp_path


def shards(work: Path, **options: bool) -> Shards:
    given = {"stellar_masses": False} | options
    found = Shards(work / "shards", shards_of("demo", "train", N, 6), CPU, **given)
    found.poll()
    return found


def run(work: Path, monkeypatch: pytest.MonkeyPatch, *words: object) -> dict:
    line = ["upper_bound", "--work", work, "--presets", "demo", "--n", N, "--n-test", N_TEST]
    line += ["--batch", 8, "--workers", 1, "--device", "cpu", "--json", work / "out.json", *words]
    monkeypatch.setattr("sys.argv", [str(word) for word in line])
    upper_bound.main()
    return json.loads((work / "out.json").read_text())


# shards -------------------------------------------------------------------------------------


def test_a_shard_holds_what_the_survey_has(tmp_path: Path):
    """The simulator's own clusters, by another process: those of seed 1 from the second on."""
    shard = Shard("demo", "test", 0, 1, 1, 3)
    with Simulation(tmp_path, [shard], workers=2) as simulation:
        held = Shards(tmp_path, [shard], CPU, stellar_masses=True)
        assert held.wait(1, simulation.check, np.inf)
    survey = simulate_block(resolve_config("demo").model_dump_json(), 1, 1, 3)
    options = OPTIONS | {"max_pixels": None}
    expected = read_sample(survey, np.arange(2), **options)
    found, lnm = held.sample([0])
    assert np.array_equal(lnm, np.log(survey["m500c"].values))
    assert np.array_equal(held.loaded[0].halo_id, survey["halo_id"].values)
    assert int(found.counts.sum()) == int(survey["maps"].sum()) > 100
    for one, other in zip(found.tensors(), expected.tensors(), strict=True):
        torch.testing.assert_close(one, other.to(one.dtype), equal_nan=True, rtol=0, atol=0)
    bare = Shards(tmp_path, [shard], CPU, stellar_masses=False)
    bare.poll()
    galaxies = bare.sample([0])[0].galaxies
    assert galaxies is not None and galaxies[..., 3].isnan().all() and galaxies[..., 2].any()


def test_no_seed_is_used_twice_and_none_is_that_of_the_test():
    train = shards_of("erosita", "train", 100_000, 1024)
    assert sum(map(len, train)) == 100_000
    assert len({shard.seed for shard in train}) == len(train) == 98
    test = shards_of("erosita", "test", 3285, 1024)
    assert [shard.start for shard in test] == [0, 1024, 2048, 3072] and test[-1].stop == 3285
    assert {shard.seed for shard in test} == {1} and 1 not in {shard.seed for shard in train}
    assert len({shard.name for shard in (*train, *test)}) == 102


def test_a_process_whose_parent_is_gone_simulates_nothing(tmp_path: Path):
    simulate_shards(tmp_path, shards_of("demo", "train", 4, 2), parent=-1)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_fails_ends_the_waiting(tmp_path: Path):
    held = Shards(tmp_path, shards_of("demo", "train", 4, 4), CPU, stellar_masses=False)
    simulation = Simulation(tmp_path, [], workers=1)
    simulation.processes = [SimpleNamespace(exitcode=code) for code in (0, 1, None)]  # type: ignore[misc]
    with pytest.raises(OSError, match="a process that simulates failed"):
        held.wait(1, simulation.check, np.inf)


# rounds -------------------------------------------------------------------------------------


def rounds(work: Path, until: float) -> TimedRounds:
    plan = Plan(work / "plan.json")
    options = MODEL_SPECS["icm-3band"].read_options(coverage=False, with_parts=True)
    held = shards(work)
    clusters = TimedClusters(held, options, options, plan, until=until, seed=1)
    found = clusters.source(lambda lnm: torch.from_numpy(lnm).float())
    found.start(None, CPU, 4)  # type: ignore[arg-type]
    return found


def test_rounds_fill_the_time_and_the_rate_ends_with_it(
    work: Path, monkeypatch: pytest.MonkeyPatch
):
    """Steps of 2 s that turn out to take 3 s, in 240 s: the last round ends near the end."""
    now = 1000.0
    monkeypatch.setattr(upper_bound_clusters.time, "time", lambda: now)
    source = rounds(work, until=1240.0)
    source.decide(2.0, 4)
    assert source.steps(LARGE_TRAINING) == 10  # of 120 in twelve rounds
    assert source.epochs(LARGE_TRAINING) == 12
    plan, rates = source._clusters.plan, []
    while plan.rounds < (planned := source.epochs(LARGE_TRAINING)):
        rate = SCHEDULES["one-cycle"](10 * plan.rounds + 9, 10 * planned)
        rates.append(rate)
        for _ in source.buffers(plan.rounds):
            now += 30.0
        plan.rounds += 1
    assert plan.rounds == 8 and now == 1240.0
    assert max(rates) > 0.9 and rates[-1] < 0.01
    assert plan.drawn == 8 * 40


def test_a_round_takes_what_was_seen_least_and_never_what_is_held_out(work: Path):
    source = rounds(work, until=np.inf)
    source._clusters.plan.steps = 6  # 24 clusters: four shards of six
    used: list[int] = []
    for epoch in range(7):
        before = dict(source._uses)
        (buffer,) = source.buffers(epoch)
        assert len(buffer[0]) == 24 and len(buffer[1]) == 24
        used += [k for k, n in source._uses.items() for _ in range(n - before.get(k, 0))]
    times = {k: used.count(k) for k in range(8)}
    assert times[0] == 0  # an eighth of the clusters is held out
    assert all(times[k] == 4 for k in range(1, 8))
    held = source._clusters.validation[1]
    others = np.concatenate([s.lnm for k, s in shards(work).loaded.items() if k > 0])
    assert len(held) == 6 and not np.isin(held, others).any()


def test_shards_that_come_later_are_trained_on(work: Path):
    hidden = sorted((work / "shards").glob("*train*"))[-3:]
    for file in hidden:
        file.rename(file.with_suffix(".later"))
    source = rounds(work, until=np.inf)
    source._clusters.plan.steps = 9
    list(source.buffers(0))
    assert source._clusters.plan.used == {1, 2, 3, 4}
    for file in hidden:
        file.with_suffix(".later").rename(file)
    list(source.buffers(1))
    assert source._clusters.plan.used == set(range(1, 8))


# the script ---------------------------------------------------------------------------------


def decided(source: TimedRounds, step_seconds: float, batch_size: int) -> None:
    """Two steps a round, whatever the time."""
    source._clusters.plan.steps, source._clusters.plan.step_seconds = 2, step_seconds


@pytest.mark.usefixtures("narrow")
def test_every_fit_is_made_and_kept(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(TimedRounds, "epochs", lambda source, config: 2)
    monkeypatch.setattr(TimedRounds, "decide", decided)
    found = run(work, monkeypatch, "--networks", "3band")
    assert [row["kind"] for row in found["rows"]] == ["large", "small", "distilled"]
    assert found["failed"] == {} and found["left"] == []
    for row in found["rows"]:
        assert row["n"] == N_TEST and row["data"] == "three bands" and row["device"] == "cpu"
        for key in ("sigma_lnm", "sigma_lnm_error", "crps", "coverage68", "seconds"):
            assert np.isfinite(row[key])
        assert 12 < row["n_train"] <= N and row["clusters_seen"] == 32 and row["rounds"] == 2
    (taught,) = found["distillation"]
    assert taught["scatter_ratio"] > 0 and np.isfinite(taught["scatter_ratio_error"])
    files = {file: file.stat().st_mtime_ns for file in work.rglob("*.safetensors")}
    assert len(files) == 6  # a model and a checkpoint each
    again = run(work, monkeypatch, "--networks", "3band")
    assert again["rows"] == found["rows"]
    assert files == {file: file.stat().st_mtime_ns for file in work.rglob("*.safetensors")}


@pytest.mark.usefixtures("narrow")
def test_after_a_kill_a_fit_goes_on(work: Path, monkeypatch: pytest.MonkeyPatch):
    note, seen = Plan.note, []

    def kill(plan: Plan, epoch: object) -> None:
        note(plan, epoch)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    words = ("--networks", "multimodal", "--kinds", "large", "--deadline", 30)
    with monkeypatch.context() as patch:
        patch.setattr(Plan, "note", kill)
        with pytest.raises(KeyboardInterrupt):
            run(work, monkeypatch, *words)
    assert not (work / "fits").exists()
    plan = Plan(work / "checkpoints/demo-icm-large-multimodal/plan.json")
    assert plan.rounds == 1 and plan.drawn == 8 * plan.steps

    def watch(plan: Plan, epoch) -> None:
        seen.append(epoch.epoch)
        note(plan, epoch)

    monkeypatch.setattr(Plan, "note", watch)
    (row,) = run(work, monkeypatch, *words[:-1], 6)["rows"]
    assert seen[:1] == [2] and row["rounds"] == seen[-1]
    assert row["clusters_seen"] == 8 * plan.steps * row["rounds"]
    assert row["step_seconds"] == plan.step_seconds


@pytest.mark.usefixtures("narrow")
def test_one_fit_that_fails_does_not_stop_the_others(work: Path, monkeypatch: pytest.MonkeyPatch):
    whole = upper_bound.fit

    def fail(run: upper_bound_fit.Run, task: upper_bound_fit.Task, *times: float) -> dict:
        if task.kind == "large":
            raise RuntimeError("no luck\nat all")
        return whole(run, task, *times)

    monkeypatch.setattr(upper_bound, "fit", fail)
    monkeypatch.setattr(TimedRounds, "epochs", lambda source, config: 1)
    with pytest.raises(SystemExit) as status:
        run(work, monkeypatch, "--networks", "1band")
    found = json.loads((work / "out.json").read_text())
    assert status.value.code == 1 and [row["name"] for row in found["rows"]] == ["icm-1band"]
    assert list(found["failed"]) == ["demo-icm-large-1band", "demo-icm-1band-distilled"]


@pytest.mark.parametrize(("option", "value"), [("--n", 8), ("--deadline", 0), ("--batch", 0)])
def test_numbers_that_make_no_sense_are_one_line(
    option: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(SystemExit, match=f"upper_bound: {option}: {value}.*; give"):
        run(tmp_path, monkeypatch, option, value)
