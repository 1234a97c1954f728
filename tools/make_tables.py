"""Write the tables of the README and the docs that are read off `benchmarks/results/`.

    python tools/make_tables.py [--check]

A table stands between ``<!-- table NAME -->`` and ``<!-- end of table -->``; what is between is
replaced. `--check` changes nothing, and fails where a table is not what the results say.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial

from table_explanations import (
    causal,
    causal_retrained,
    causal_scatter,
    explanation_checks,
    explanation_shares,
    explanations,
)
from table_readme import readme
from table_results import ROOT
from table_scores import (
    energy_bands,
    erass,
    floor,
    learning_curve,
    out_of_domain,
    paper_networks,
    sbi,
    scores,
    step_speed,
    streams,
)
from table_trust import calibration_variants, physics_marginal

FILES = ("README.md", "docs/estimators.md", "docs/calibration.md", "docs/physics.md",
         "docs/explanations.md")  # fmt: skip
_BLOCK = re.compile(r"(<!-- table (\w[\w-]*) -->\n).*?(<!-- end of table -->)", re.DOTALL)
TABLES: dict[str, Callable[[], list[str]]] = {
    "readme": readme,
    "paper-networks": paper_networks,
    "scores-erosita": partial(scores, "erosita"),
    "scores-phox": partial(scores, "phox"),
    "out-of-domain": out_of_domain,
    "learning-curve": learning_curve,
    "erass": erass,
    "floor": floor,
    "energy-bands": energy_bands,
    "sbi": sbi,
    "step-speed": step_speed,
    "streams": streams,
    "calibration-variants": calibration_variants,
    "explanations": explanations,
    "explanation-shares": explanation_shares,
    "explanation-checks": explanation_checks,
    "causal": causal,
    "causal-scatter": causal_scatter,
    "causal-retrained": causal_retrained,
    "physics-networks": partial(physics_marginal, 0),
    "physics-trees": partial(physics_marginal, 1),
    "physics-left-out": partial(physics_marginal, 2),
    "physics-richness": partial(physics_marginal, 3),
    "physics-adaptation": partial(physics_marginal, 4),
}


def written(text: str) -> str:
    """Return a document with its tables as the results have them."""

    def table(found: re.Match[str]) -> str:
        return found[1] + "\n" + "\n".join(TABLES[found[2]]()) + "\n\n" + found[3]

    return _BLOCK.sub(table, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    stale = []
    for name in FILES:
        file = ROOT / name
        text = file.read_text(encoding="utf-8")
        new = written(text)
        if new != text:
            stale.append(name)
            if not given.check:
                file.write_text(new, encoding="utf-8")
    if given.check and stale:
        sys.exit(f"{', '.join(stale)}: tables are not what the results say; run this script")


if __name__ == "__main__":
    main()
