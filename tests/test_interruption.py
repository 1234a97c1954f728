"""Ctrl-C and SIGTERM: one line that says how to go on, status 130, and the same result then."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import xarray as xr

from conftest import RunCli
from event_files import good, write
from icmass.cli.interruption import Interrupted, command_with, resumable
from icmass.survey.catalog import open_survey

#: Runs `icmass` after making one function of it wait from its second call on, so that a signal
#: meets it midway however late it comes; the signal ends the wait.
_SLOWED = """
import importlib, sys, time
module, _, name = sys.argv.pop(1).partition(":")
owner = importlib.import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
plain = getattr(owner, name)
calls = 0
def slowed(*args, **kwargs):
    global calls
    calls += 1
    result = plain(*args, **kwargs)
    time.sleep(0.3 if calls == 1 else 10)
    return result
setattr(owner, name, slowed)
from icmass.cli import main
sys.argv[0] = "icmass"
main()
"""


def _heed_sigint() -> None:
    """Undo what a shell does to what it starts in the background: that ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(
    words: Sequence[object],
    slowed: str,
    *,
    once: Callable[[], bool],
    number: int = signal.SIGINT,
    group: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command and send it a signal as soon as `once` is true.

    With `group` its workers get the signal too, as from a terminal.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOWED, slowed, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_sigint,
    )
    deadline = time.monotonic() + 120
    while not once() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, f"ended before the signal: {process.communicate()}"
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def way_on(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the words of the command that an interrupted one says goes on."""
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if "interrupted" in line]
    assert line == done.stderr.splitlines()[-1]
    words = shlex.split(line.partition("go on with: ")[2])
    assert words[0] == "icmass"
    return words[1:]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> Path:
    path = tmp_path_factory.mktemp("survey") / "toy.zarr"
    toy_survey.to_zarr(path)
    return path


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGINT, 1),
        pytest.param(signal.SIGTERM, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
    ],
)
def test_simulate(run_cli: RunCli, tmp_path: Path, number: int, workers: int) -> None:
    n = 6 if workers == 1 else 40  # only this process is slowed, not its workers
    words = ["simulate", "--preset", "demo", "--n", n, "--seed", 5, "--chunk", 1]
    words += ["--set", "observe.n_pixels=32"]
    whole, out = tmp_path / "whole.zarr", tmp_path / "my survey.zarr"
    assert run_cli(*words, "--out", whole).returncode == 0
    words += ["--workers", workers, "--out", out]
    parts = tmp_path / "my survey.zarr.partial" / "parts"

    done = interrupt(
        words,
        "icmass.survey.write:write_chunk",
        once=lambda: len(list(parts.glob("[0-9]*.npz"))) >= 1,
        number=number,
        group=workers > 1,
    )
    on = way_on(done)
    assert on == [*map(str, words), "--resume"]
    assert 1 <= len(list(parts.glob("[0-9]*.npz"))) < n and not out.exists()
    assert run_cli(*on).returncode == 0
    xr.testing.assert_identical(open_survey(whole).load(), open_survey(out).load())


@pytest.mark.slow
def test_train(run_cli: RunCli, store: Path, tmp_path: Path) -> None:
    words = ["train", store, "--model", "icm-3band", "--max-epochs", 4, "--device", "cpu"]
    whole, out = tmp_path / "whole", tmp_path / "model"
    assert run_cli(*words, "--out", whole).returncode == 0
    work = tmp_path / "model.partial" / "checkpoint"
    done = interrupt(
        [*words, "--out", out],
        "icmass.training.trainer:Checkpoint.write",
        once=lambda: work.is_dir() and any(work.rglob("*.safetensors")),
    )
    on = way_on(done)
    assert on[-1] == "--resume" and not out.exists()
    assert run_cli(*on).returncode == 0
    weights = [(path / "model.safetensors").read_bytes() for path in (whole, out)]
    assert weights[0] == weights[1]
    rows = [json.loads((p / "results.json").read_text())["estimators"] for p in (whole, out)]
    assert rows[0][0]["sigma_lnm"] == rows[1][0]["sigma_lnm"]


@pytest.mark.slow
def test_benchmark(run_cli: RunCli, store: Path, tmp_path: Path) -> None:
    words = ["benchmark", store, "--models", "T,M_gas,L_X", "--folds", 2]
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert run_cli(*words, "--out", whole).returncode == 0
    done = interrupt(
        [*words, "--out", out],
        "icmass.estimators.relation:ProxyRelation.fit",
        once=lambda: (out / "predictions").is_dir() and any((out / "predictions").iterdir()),
    )
    on = way_on(done)
    assert on[-1] == "--resume" and not (out / "results.json").exists()
    assert run_cli(*on).returncode == 0
    kept = []
    for path in (whole, out):
        rows = json.loads((path / "results.json").read_text())["estimators"]
        kept.append([{k: v for k, v in row.items() if k != "train_seconds"} for row in rows])
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_ingest(run_cli: RunCli, tmp_path: Path) -> None:
    rows, files = ["id,ra,dec,redshift"], []
    for k in range(5):
        files.append(write(tmp_path / f"tile{k}.fits", good(400, seed=k, ra=150.0 + 8 * k)))
        rows.append(f"c{k},{150.0 + 8 * k},2.2,0.3")
    table = tmp_path / "clusters.csv"
    table.write_text("\n".join(rows) + "\n")
    words = ["ingest", "esass", *files, "--table", table, "--exposure", 1000, "--pixels", 32]
    whole, out = tmp_path / "whole.zarr", tmp_path / "X.zarr"
    made = run_cli(*words, "--out", whole)
    assert made.returncode == 0, made.stderr
    parts = tmp_path / "X.zarr.partial" / "parts"
    done = interrupt(
        [*words, "--out", out],
        "icmass.survey.ingest:do_job",
        once=lambda: any(parts.glob("cluster-*.npz")),
    )
    on = way_on(done)
    assert on[-1] == "--resume" and not out.exists()
    assert run_cli(*on).returncode == 0
    xr.testing.assert_identical(open_survey(whole).load(), open_survey(out).load())


def test_what_cannot_go_on_says_that_nothing_is_kept(
    run_cli: RunCli, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("icmass.inference.family.load_ensemble", stop)
    done = run_cli("predict", store)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "icmass: interrupted; nothing was kept\n"


def test_the_outer_command_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `icmass demo`, which simulates and benchmarks, not of what it is doing."""
    monkeypatch.setattr(sys, "argv", ["icmass", "demo", "--out", str(tmp_path)])
    with (
        pytest.raises(Interrupted) as ended,
        resumable(tmp_path, flag=None),
        resumable(tmp_path / "a.partial"),
    ):
        raise KeyboardInterrupt
    assert ended.value.command == f"icmass demo --out {tmp_path}"


def test_the_command_is_one_that_a_shell_takes() -> None:
    words = ["train", "a b.zarr", "--set", "observe.bands=[[0.5,2]]", "--out", "M"]
    line = command_with(words, "--resume")
    assert shlex.split(line) == ["icmass", *words, "--resume"]
    assert command_with(["x", "--resume"], "--resume") == "icmass x --resume"
    assert command_with(["x", "--", "-a"], "--resume") == "icmass x --resume -- -a"
