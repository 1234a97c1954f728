"""Write what the bundled models' cards repeat: their metadata, and what other physics does to them.

    python tools/model_cards.py [FOLDER...]

The folders are those of `src/icmass/models` by default. Metadata come from configuration and
scores; the table between ``<!-- table transfer -->`` and ``<!-- end of table -->``, where a card
has them, from `transfer.json`. What else a card says stays. To be run when a bundled model is new
or has new scores; `tests/test_model_cards.py` compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from icmass.estimators.card import BUNDLED_LICENSE, describe_model
from icmass.files import write_text

MODELS = Path(__file__).resolve().parents[1] / "src" / "icmass" / "models"
PHYSICS = {
    "default": "default (Magneticum)",
    "kept-aside": "kept aside: less gas, steeper, cooler, cuspier, brighter AGN",
}
"""What a test survey of `benchmarks/physics_surveys.py` is called on a card, if not by its name."""
TABLE = re.compile(r"(?<=<!-- table transfer -->\n\n).*?(?=<!-- end of table -->)", re.S)


def transfer_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of a card: a row for each gas physics, the least biased first."""
    lines = ["| physics | rms | bias | within 68 | flagged |", "|---|---:|---:|---:|---:|"]
    for row in sorted(rows, key=lambda row: abs(row["bias_lnm"])):
        rms, bias = (
            f"{100 * row[key]:{sign}.1f} ± {100 * row[key + '_error']:.1f}"
            for key, sign in (("rms_lnm", ""), ("bias_lnm", "+"))
        )
        name = PHYSICS.get(row["test"], row["test"])
        kept = f"{100 * row['coverage68']:.0f} | {100 * row['flagged']:.0f}"
        lines.append(f"| {name} | {rms} | {bias} | {kept} |")
    return "\n".join(lines) + "\n\n"


def with_transfer(card: str, folder: Path) -> str:
    """Return a card with the table of its `transfer.json` in its place, if it has one."""
    if not TABLE.search(card):
        return card
    rows = json.loads((folder / "transfer.json").read_text(encoding="utf-8"))["rows"]
    return TABLE.sub(lambda _: transfer_table(rows), card)


def main() -> None:
    """Do it for each folder that is given, or for all."""
    given = [Path(name) for name in sys.argv[1:]]
    for folder in given or sorted(file.parent for file in MODELS.glob("*/config.json")):
        found = describe_model(folder, name=folder.resolve().name, license=BUNDLED_LICENSE)
        card = folder / "README.md"
        write_text(card, with_transfer(card.read_text(encoding="utf-8"), folder))
        print(folder.name, "with scores" if "model-index" in found else "without scores")


if __name__ == "__main__":
    main()
