import subprocess
import sys

from icmass.errors import InputError


def test_a_line_names_file_field_and_mend():
    error = InputError("is missing", file="a.arf", field="SPECRESP", mend="give an OGIP ARF")
    assert str(error) == "a.arf: SPECRESP: is missing; give an OGIP ARF"


def test_a_line_has_no_line_break():
    assert "\n" not in str(InputError("two\nlines", mend="one\nmend"))


def test_importing_the_package_does_not_import_torch_or_touch_global_state():
    code = "import sys, icmass.cli; print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
