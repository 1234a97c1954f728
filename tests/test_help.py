"""Help pages and tables print what is written, brackets too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from conftest import RunCli
from icmass.cli.app import app
from icmass.cli.predict_table import print_prediction
from icmass.inference.quality_flags import score_text


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def command_at(path: tuple[str, ...]) -> Any:
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    return command


def squeezed(text: str) -> str:
    """Return a text without white space and the lines of boxes."""
    return re.sub(r"[\s│╭╮╰╯─┃┏┓┗┛━]+", "", text)


@pytest.mark.parametrize("path", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_help_says_all_that_is_written(
    path: tuple[str, ...], run_cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", "2000")  # texts in one piece: columns are not mixed
    monkeypatch.setenv("COLUMNS", "2000")
    done = run_cli(*path, "--help")
    assert done.returncode == 0
    page = squeezed(done.stdout)
    command = command_at(path)
    texts = [command.help, *(getattr(param, "help", None) for param in command.params)]
    texts += [param.metavar for param in command.params]
    for text in filter(None, texts):
        for paragraph in re.split(r"\n\s*\n", text.split("\f")[0]):
            assert squeezed(paragraph) in page, paragraph
    assert not re.search(r"\(\s*\)|\[\s*\]| [,;:]", done.stdout.replace("[]", "[ ]"))


def test_units_are_in_the_help_of_rate(run_cli: Any) -> None:
    page = run_cli("rate", "--help").stdout
    assert "[keV]" in page and "[1e20 cm^-2]" in page


@pytest.mark.parametrize(
    ("score", "text"), [(0.913, "0.91"), (17.04, "17.04"), (3.4e38, "3e+38"), (1e5, "1e+05")]
)
def test_scores_are_short(score: float, text: str) -> None:
    assert score_text(score) == text


def test_names_in_brackets_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    mass = dict.fromkeys(("median", "mean", "p16", "p84", "p2.5", "p97.5"), 1.0)
    row = {
        "cluster": 0, "id": "A[red]1[/x]", "redshift": 0.3, "m500c_1e14_msun_h": mass,
        "m500c_1e14_msun": mass, "photons": 3, "flagged": True, "out_of_domain": 2e38,
        "ln_m500c_std": 0.1, "ln_m500c_std_within": 0.1, "ln_m500c_std_between": 0.1,
        "r500c_mpc_h_comoving": 1.0, "r500c_arcmin": 2.0, "photons_0.5_mpc_h": 3,
        "excess_sigma": 3.0, "exposure_s": 1.0, "reasons": ["odd [keV]"],
    }  # fmt: skip
    found = {
        "model": {"name": "m[a]", "members": 1, "n_train": 2, "preset": "p[b]"},
        "clusters": [row], "prior": {"is": "flat [c]"}, "warnings": ["mind [keV]"],
        "assumptions": ["assumed [keV]"],
    }  # fmt: skip
    for rows in ([row], [row, row]):
        print_prediction(found | {"clusters": rows})
        out = capsys.readouterr().out
        for text in ("m[a]", "p[b]", "flat [c]", "A[red]1[/x]", "mind [keV]", "assumed [keV]"):
            assert text in out
        assert not re.search(r"\d{12}", out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("simulate", "--n", "0", "--out", "x.zarr"), "invalid value for '--n'"),
        (("simulate", "--n", "many", "--out", "x.zarr"), "invalid value for '--n'"),
        (("simulate", "--n", "2"), "missing option '--out'; see `icmass simulate --help`"),
        (("predict", "--foo"), "no such option: --foo"),
        (("export", "x.zarr", "--format", "gif", "--out", "y"), "invalid value for '--format'"),
        (("nothing",), "no such command 'nothing'"),
    ],
)
def test_wrong_options_end_in_one_line(words: tuple[str, ...], said: str, run_cli: RunCli) -> None:
    done = run_cli(*words)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("icmass: ") and done.stderr.count("\n") == 1
    assert said in done.stderr and "--help`" in done.stderr


def test_no_word_at_all_is_the_help(run_cli: RunCli) -> None:
    for words in ((), ("ingest",)):
        done = run_cli(*words)
        assert done.returncode == 2 and "Commands" in done.stdout and not done.stderr
