"""Errors: one line, with parameters as Python has them and as the command line has them."""

from __future__ import annotations

import pickle

import pytest

from icmass.errors import InputError, python_names


def test_a_parameter_has_two_names() -> None:
    error = InputError(
        "is 3", file="e.fits", field="--min-visible", hint="give 0 to 1, or --exposure SECONDS"
    )
    assert str(error) == "e.fits: min_visible: is 3; give 0 to 1, or exposure SECONDS"
    line = "e.fits: --min-visible: is 3; give 0 to 1, or --exposure SECONDS"
    assert error.command_line == line and error.parameter == "min_visible"
    assert InputError("no such file", file="x").parameter is None


@pytest.mark.parametrize(
    ("option", "python"),
    [
        ("choose another name or --overwrite", "choose another name or overwrite=True"),
        ("go on with --resume, or wait", "go on with resume=True, or wait"),
        ("--set halos.box_mpc_h=SIDE", "assignments halos.box_mpc_h=SIDE"),
        ("check --no-gti", "check gti=False"),
        ("see `icmass config --set a=b`", "see `icmass config --set a=b`"),
        ("run icmass train --n 40; or --redshift", "run icmass train --n 40; or redshift"),
        ("a dash -- and -5", "a dash -- and -5"),
    ],
)
def test_options_become_parameters_outside_commands(option: str, python: str) -> None:
    assert python_names(option) == python


def test_it_comes_back_from_another_process() -> None:
    error = InputError("is 3", file="e.fits", field="--nh", hint="give --nh 3")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.command_line == error.command_line
    assert (again.file, again.field, again.hint) == (error.file, error.field, error.hint)
