"""Causal tests of the estimators of a run: a known change, and what it does to the mass.

    python benchmarks/causal.py RUN erosita-3285.zarr --out causal.json [--retrain]

RUN is a benchmark's folder on the survey. Beside FILE.json a table is written, FILE.md. With
`--retrain` networks are trained anew on surveys without AGN and without cores.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from icmass.explanation.causal import run_causal
from icmass.explanation.causal_plan import agn_interventions, retrainings
from icmass.explanation.causal_scatter import Retraining, retrain
from icmass.explanation.causal_table import causal_markdown
from icmass.run.causal import Causal
from icmass.survey.catalog import open_survey


def retrained(given: argparse.Namespace) -> list[dict[str, Any]]:
    how = Retraining(
        given.retrain_model, given.retrain_folds, seed=given.seed, max_epochs=given.max_epochs
    )
    bright = [one for one in agn_interventions() if one.name.startswith("agn_5e-14")]
    survey = open_survey(given.survey)
    return retrain(survey, retrainings(), how, then=bright, progress=told)


def told(said: str) -> None:
    print(said, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("survey", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", help="comma-separated; default: all of the run")
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--retrain", action="store_true")
    parser.add_argument("--retrain-model", default="icm-3band")
    parser.add_argument("--retrain-folds", type=int, default=2)
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--retrain-only", action="store_true", help="add to what is in --out")
    given = parser.parse_args()
    start = time.perf_counter()
    if given.retrain_only:
        found = json.loads(given.out.read_text(encoding="utf-8"))
    else:
        models = given.models.split(",") if given.models else None
        found = run_causal(
            given.run,
            given.survey,
            models,
            given.n,
            given.seed,
            progress=told,
        ).as_json()
        found["seconds"] = round(time.perf_counter() - start, 1)
    if given.retrain or given.retrain_only:
        found["retrained"] = retrained(given)
    given.out.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    text = causal_markdown(Causal.of(found, given.out))
    given.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
