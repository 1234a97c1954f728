"""Check what would be released: build it, install it apart, run it, audit what it needs.

    python tools/check_release.py [--python PATH ...] [--out dist] [--without torch]

1. sdist and wheel by `build`; `twine check --strict`; the wheel's size and contents.
2. For each Python of `--python` (default: what is found of those that pyproject.toml names) a fresh
   environment with the wheel and the versions of constraints.txt; in it, away from the sources, the
   quick commands of the README and its lines of Python, at small size.
3. A bill of materials (CycloneDX) of the first environment, and its known vulnerabilities.

`build`, `twine`, `cyclonedx-bom` and `pip-audit` are those of the Python that runs this, or on the
path (`make check-release` has them); without the latter two their steps are skipped, and said.
`--without torch` leaves a dependency and what needs it out, where there is no wheel of it. The exit
status is 1 if anything failed; what was skipped does not fail.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_WHEEL_MB = 8.0
"""Largest wheel [1e6 byte]."""
N_CLUSTERS = 64
"""Clusters of the surveys that the README's commands make here."""
PYTHON_M: tuple[object, ...] = (sys.executable, "-m")
NEEDS_TORCH = {"torch", "accelerate", "captum", "zuko"}
COMMANDS: tuple[tuple[str, bool], ...] = (
    ("icmass --version", False),
    ("icmass --help", False),
    ("icmass config", False),
    ("icmass rate --kt 5 --redshift 0.3", False),
    (f"icmass simulate --preset demo --n {N_CLUSTERS} --seed 1 --out demo.zarr --quiet", False),
    ("icmass info demo.zarr", False),
    ("icmass export demo.zarr --format events --index 0 --out cluster.fits", False),
    ("icmass export demo.zarr --format table --out table.ecsv", False),
    ("icmass export demo.zarr --format croissant --out metadata.json", False),
    ("icmass benchmark demo.zarr --models L_X,N_phot_2r500 --folds 4 --out demo-run --quiet", True),
    ("icmass report demo-run", True),
    ("icmass predict cluster.fits --out masses.fits --json", True),
)
"""Commands of the README at small size, in an order in which each finds its files; needs torch."""


@dataclass(frozen=True)
class Step:
    """A step that was done: what, with what, how it ended."""

    what: str
    outcome: str
    seconds: float
    said: str


@dataclass
class Report:
    """Steps as they end, each printed at once."""

    steps: list[Step] = field(default_factory=list)

    def run(self, what: str, work: Callable[[], str]) -> bool:
        """Do a step; `work` returns what to say, and raises if it failed."""
        begin, outcome = time.monotonic(), "ok"
        try:
            text = work()
        except NotPossible as error:
            outcome, text = "skipped", str(error)
        except (Failed, OSError, subprocess.TimeoutExpired) as error:
            outcome, text = "FAILED", " ".join(str(error).split())[-300:]
        self._add(Step(what, outcome, time.monotonic() - begin, text))
        return outcome == "ok"

    def skip(self, what: str, why: str) -> None:
        """Note a step that was not done."""
        self._add(Step(what, "skipped", 0.0, why))

    def _add(self, step: Step) -> None:
        self.steps.append(step)
        print(f"{step.outcome:8} {step.what} ({step.seconds:.0f} s) {step.said[:120]}", flush=True)

    def table(self) -> str:
        """Return the steps as a table in Markdown."""
        rows = [f"| {s.what} | {s.outcome} | {s.seconds:.0f} | {s.said} |" for s in self.steps]
        return "\n".join(["| step | outcome | s | |", "|---|---|---:|---|", *rows])

    @property
    def failed(self) -> int:
        """Number of steps that failed."""
        return sum(step.outcome == "FAILED" for step in self.steps)


class Failed(Exception):
    """A step that did not do what it should."""


class NotPossible(Exception):
    """A step that could not be done here, which says nothing of what is released."""


def call(command: Sequence[object], cwd: Path, *, limit_s: float = 3600) -> str:
    """Run a command away from the sources; return its output, or raise with the end of it."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, "MPLBACKEND": "Agg"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
        check=False,
    )
    if done.returncode:
        raise Failed(f"status {done.returncode}: {done.stdout}")
    return done.stdout


def module(name: str) -> str | None:
    """Return the version of a package beside this Python, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def supported() -> list[str]:
    """Return the Pythons that pyproject.toml names, as 3.11."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [re.fullmatch(r".*Python :: (3\.\d+)", text) for text in project["classifiers"]]
    return [found[1] for found in named if found]


def interpreter(version: str) -> Path | None:
    """Return the path of a Python that runs and is of a version, None where there is none."""
    installed = Path.home() / ".pyenv" / "versions"
    found = [str(path) for path in sorted(installed.glob(f"{version}.*/bin/python"))]
    if on_path := shutil.which(f"python{version}"):
        found.insert(0, on_path)
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in found:
        done = subprocess.run([path, "-c", ask], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return Path(path)
    return None


def package_version() -> str:
    """Return the version of the sources."""
    text = (ROOT / "src" / "icmass" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.M)
    if found is None:
        raise Failed("src/icmass/__init__.py has no __version__")
    return found[1]


def check_wheel(wheel: Path) -> str:
    """Raise if a wheel is too large, lacks a file of the package or has any besides."""
    size = wheel.stat().st_size / 1e6
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        licenses = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    listed = subprocess.run(
        ["git", "ls-files", "src/icmass"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {name.removeprefix("src/") for name in listed.stdout.split()}
    if held != wanted:
        lacks, besides = sorted(wanted - held)[:3], sorted(held - wanted)[:3]
        raise Failed(f"the wheel lacks {lacks} and has besides {besides} of what git knows")
    if not licenses:
        raise Failed("the wheel has no licence")
    if size >= MAX_WHEEL_MB:
        raise Failed(f"the wheel has {size:.1f} MB, {MAX_WHEEL_MB:g} at most")
    return f"{size:.2f} MB, {len(held)} files"


def needed(wheel: Path, without: set[str]) -> list[str]:
    """Return a wheel's requirements without some, and without what needs torch if that is out."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    found = re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, re.M)
    out = without | (NEEDS_TORCH if "torch" in without else set())
    return [text for text in found if re.split(r"[<>=!~ \[]", text)[0].lower() not in out]


def readme_python() -> str:
    """Return the README's lines of Python, with the small number of clusters and one process."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    block = next((code for code in blocks if "icmass.simulate(" in code), None)
    if block is None:
        raise Failed("README.md has no lines of Python that simulate")
    code, n = re.subn(r"\bn=\d+", f"n={N_CLUSTERS}", block)
    if not n:
        raise Failed("README.md: no n=... to make smaller")
    return re.sub(r"\bworkers=\d+", "workers=1", code)


def install(report: Report, version: str, python: Path, wheel: Path, how: Install) -> Path | None:
    """Make a fresh environment with the wheel; return its folder of programs."""
    folder = how.folder / f"python{version}"
    program = folder / "bin" / "python"

    def work() -> str:
        if how.reuse and program.exists():
            again = ("--force-reinstall", "--no-deps")
            call([program, "-m", "pip", "install", "--quiet", *again, wheel], how.folder)
            return "the wheel anew in the environment that was there"
        call([python, "-m", "venv", "--clear", folder], how.folder)
        pip = [program, "-m", "pip", "install", "--quiet", "--constraint", how.constraints]
        if how.without:
            call([*pip, "--no-deps", wheel], how.folder)
            call([*pip, *needed(wheel, how.without)], how.folder)
            return f"without {', '.join(sorted(how.without))}"
        call([*pip, wheel], how.folder)
        call([program, "-m", "pip", "check"], how.folder)
        return call([program, "--version"], how.folder).strip()

    return program.parent if report.run(f"{version}: install", work) else None


@dataclass(frozen=True)
class Install:
    """How environments are made: where, with which pins, without which packages, or used again."""

    folder: Path
    constraints: Path
    without: set[str]
    reuse: bool = False


def run_readme(report: Report, version: str, programs: Path, how: Install) -> None:
    """Run the README's commands and its Python in an environment."""
    folder = how.folder / f"work{version}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for command, needs_torch in COMMANDS:
        if needs_torch and "torch" in how.without:
            report.skip(f"{version}: {command}", "needs torch")
            continue
        first, *rest = shlex.split(command)
        report.run(f"{version}: {command}", partial(said, [programs / first, *rest], folder))
    if "torch" in how.without:
        report.skip(f"{version}: README, Python", "needs torch")
        return
    report.run(
        f"{version}: README, Python",
        lambda: said([programs / "python", "-c", readme_python()], folder),
    )


def said(command: Sequence[object], cwd: Path) -> str:
    """Run a command; return the end of what it printed, short."""
    lines = [line for line in call(command, cwd).splitlines() if line.strip()]
    return lines[-1].strip()[:80].replace("|", "/") if lines else ""


def bill_of_materials(programs: Path, out: Path) -> str:
    """Write what is installed as CycloneDX; return how much that is."""
    file = out / f"icmass-{package_version()}.cdx.json"
    base = [*PYTHON_M, "cyclonedx_py", "environment", "--of", "JSON", "-o", file]
    call([*base, "--pyproject", ROOT / "pyproject.toml", programs / "python"], out)
    document = json.loads(file.read_text(encoding="utf-8"))
    names = {part["name"].lower() for part in document["components"]}
    if document["bomFormat"] != "CycloneDX" or not {"numpy", "astropy"} <= names:
        raise Failed(f"{file.name} does not hold what is installed")
    return f"{file.name}: {len(names)} components, CycloneDX {document['specVersion']}"


def audit(programs: Path, out: Path) -> str:
    """Return what is known of vulnerabilities of what is installed; raise if there are any.

    Where most packages could not be looked up, as without a network, that is `NotPossible`.
    """
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    path = call([programs / "python", "-c", ask], out).strip()
    file = out / "pip-audit.json"
    file.unlink(missing_ok=True)
    command = [*PYTHON_M, "pip_audit", "--path", path, "-f", "json", "-o", file]
    try:
        call([*command, "--progress-spinner", "off", "--timeout", "30"], out, limit_s=600)
    except Failed:
        if not file.exists():
            raise
    found = json.loads(file.read_text(encoding="utf-8"))["dependencies"]
    hurt = [f"{d['name']} {d['version']}: {v['id']}" for d in found for v in d.get("vulns", ())]
    skipped = [d["name"] for d in found if "skip_reason" in d]
    if hurt:
        raise Failed(f"{len(hurt)} known: {', '.join(hurt)}")
    if len(skipped) > len(found) / 2:
        why = next(d["skip_reason"] for d in found if "skip_reason" in d)
        raise NotPossible(
            f"{len(skipped)} of {len(found)} packages were not looked up: {why[:120]}"
        )
    return f"{len(found) - len(skipped)} packages, none known; not looked up: {', '.join(skipped)}"


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", action="append", type=Path, help="a Python; may be repeated")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of sdist and wheel")
    parser.add_argument("--work", type=Path, help="folder of the environments, kept; else gone")
    parser.add_argument("--reuse", action="store_true", help="what is in --work, the wheel anew")
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    parser.add_argument("--without", action="append", default=[], help="a dependency to leave out")
    parser.add_argument("--no-build", action="store_true", help="check what is in --out")
    return parser.parse_args()


def pythons(report: Report, given: list[Path] | None) -> dict[str, Path]:
    """Return the Pythons to install in, those given or found; the others are noted."""
    if given:
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        return {call([path, "-c", ask], ROOT).strip(): path for path in given}
    found = {version: interpreter(version) for version in supported()}
    for version in (v for v, path in found.items() if path is None):
        report.skip(f"{version}: install", "no such Python on this machine")
    return {version: path for version, path in found.items() if path is not None}


def built(report: Report, out: Path, *, build: bool) -> Path | None:
    """Build and check sdist and wheel; return the wheel."""
    out.mkdir(parents=True, exist_ok=True)
    version = package_version()
    if build:
        for old in out.glob("icmass-*"):
            old.unlink()
        command = [*PYTHON_M, "build", "--outdir", out, ROOT]
        if not report.run("build", partial(said, command, out)):
            return None
    wheels = list(out.glob(f"icmass-{version}-*.whl"))
    if len(wheels) != 1 or not (out / f"icmass-{version}.tar.gz").is_file():
        raise SystemExit(f"{out} must hold one wheel and one sdist of {version}")
    if module("twine"):
        both = [*wheels, out / f"icmass-{version}.tar.gz"]
        command = [*PYTHON_M, "twine", "--no-color", "check", "--strict", *both]
        report.run("twine check --strict", partial(said, command, out))
    else:
        report.skip("twine check --strict", "twine is not installed")
    return wheels[0] if report.run("wheel", lambda: check_wheel(wheels[0])) else None


def main() -> int:
    """Do all steps; return the exit status."""
    options, report = parsed(), Report()
    out = options.out.resolve()
    wheel = built(report, out, build=not options.no_build)
    if wheel is not None:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (options.work or Path(scratch)).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            how = Install(
                folder, options.constraints.resolve(), set(options.without), options.reuse
            )
            audited = False
            for version, python in pythons(report, options.python).items():
                programs = install(report, version, python, wheel, how)
                if programs is None:
                    continue
                run_readme(report, version, programs, how)
                if not audited and not how.without:
                    audited = True
                    for name, work in (("cyclonedx-bom", bill_of_materials), ("pip-audit", audit)):
                        if module(name):
                            report.run(name, partial(work, programs, out))
                        else:
                            report.skip(name, f"{name} is not installed")
    print("\n" + report.table())
    return int(report.failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
