"""Tables of trust: other gas physics, and calibration by lensing masses."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from table_results import results, table_row


def physics_marginal(part: int) -> list[str]:
    """One of the tables of networks that are marginal over the gas physics."""
    tables = import_module("physics_marginal_table").markdown(results("physics-marginal"))
    return str(tables).split("\n\n")[part].splitlines()


def calibration_variants() -> list[str]:
    """A bundled model on other physics, before and after calibration with lensing masses."""
    found = results("calibration-variants")
    lines = [
        "| physics | bias | rms | within 68 | bias, calibrated | in stated errors | rms "
        "| within 68 | trained there: rms | calibrated over it |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        cells = [f"`{row['variant']}`"]
        for when in ("before", "after"):
            cells.append(f"{100 * row[when]['bias']:+.1f}")
            if when == "after":
                cells.append(f"{row['bias_in_errors']:+.1f}")
            cells += [f"{100 * row[when][key]:.1f}" for key in ("rms", "coverage68")]
        own = row.get("trained")
        cells += [f"{100 * own['rms']:.1f}", f"{row['rms_ratio']:.2f}"] if own else ["–", "–"]
        lines.append(table_row(*cells))
    return lines


def bundled_on_physics() -> Iterator[str]:
    """The bundled model on other gas physics, by itself and calibrated."""
    found = {row["variant"]: row for row in results("calibration-variants")["rows"]}
    worst = max(found, key=lambda name: abs(float(found[name]["before"]["bias"])))
    more = "| [trust](docs/calibration.md#measured) |"
    for name, what in (
        ("kept-aside", "gas physics that no model saw"),
        (worst, f"the worst of {len(found) - 1} others, `{worst}`"),
    ):
        before, after = found[name]["before"], found[name]["after"]
        yield (
            f"| {what}, `erass-v2-9band` | bias {100 * before['bias']:+.0f} per cent, "
            f"{100 * before['coverage68']:.0f} within 68; with 300 lensing masses "
            f"{round(100 * after['bias']):+d} and {100 * after['coverage68']:.0f} {more}"
        )
