"""Size of a page's explorer at the reference's 3,285 clusters, and how long packing takes.

    python benchmarks/explorer_page.py SURVEY.zarr --out page.html

The clusters are those of SURVEY again and again, moved by some pixels, to be 3,285; the estimators
are what a benchmark has: fourteen Gaussian ones and six with whole posteriors. Clicks are timed by
`tests/test_explorer_browser.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import xarray as xr

from icmass.estimators.posterior import Prediction
from icmass.report.explorer.contents import (
    Attributions,
    Contents,
    Estimates,
    Part,
    survey_properties,
)
from icmass.report.explorer.section import make_explorer
from icmass.report.page import fill_template
from icmass.survey.catalog import open_survey
from icmass.survey.counts import counts

N = 3285
GAUSSIAN, TABULATED = 14, 6


def enlarged(survey: xr.Dataset, n: int = N) -> xr.Dataset:
    """Return a survey of n clusters, those of `survey` again and again, maps moved by pixels."""
    index = np.arange(n) % survey.sizes["cluster"]
    few = counts(survey)
    maps = np.empty((n, 1, *few.shape[1:]), "u2")
    for k, i in enumerate(index):
        maps[k, 0] = np.roll(few[i], (k // len(few) % 7, k // len(few) % 5), (1, 2))
    names = [str(name) for name, held in survey.data_vars.items() if held.dims == ("cluster",)]
    held = (
        survey[names]
        .isel(cluster=index)
        .assign_coords(component=["observed"], band=survey["band"], x=survey["x"], y=survey["y"])
    )
    dims = ("cluster", "component", "band", "y", "x")
    return held.assign(maps=(dims, maps)).assign_attrs(survey.attrs)


def made_up(survey: xr.Dataset, rng: np.random.Generator) -> Contents:
    """Return an explorer's contents with estimates of known scatter."""
    n = survey.sizes["cluster"]
    rows = np.arange(n)
    truth = np.log(survey["m500c"].values)
    estimates = []
    for k in range(GAUSSIAN + TABULATED):
        mean = truth + rng.normal(0, 0.2, n)
        found = Prediction(mean, np.full(n, 0.2), None, rng.uniform(0, 1.05, n))
        if k >= GAUSSIAN:
            found = Prediction.from_density(found.tabulated(), found.out_of_domain)
        estimates.append(Estimates(f"estimator-{k}", rows, found))
    part = Part("survey", survey, rows)
    side = min(survey.sizes["x"], 64)
    few = rng.normal(0, 1, (64, side, side)) ** 3 * 1e-4
    maps = few[rows % len(few)]
    carried = [Attributions(estimates[-1].name, rows, maps)]
    properties = survey_properties([part])
    reasons = [["off-centre: a brighter source"] if i % 40 == 0 else [] for i in rows]
    return Contents([part], properties, estimates, reasons, carried, estimates[-1].name)


def main() -> None:
    """Write the page, print its size and the seconds that it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    contents = made_up(enlarged(open_survey(told.survey)), np.random.default_rng(1))
    begin = time.perf_counter()
    explorer = make_explorer(contents)
    seconds = time.perf_counter() - begin
    text = fill_template(
        kicker="benchmark", title="Explorer", lead="Made up.", sections=[], explorer=explorer
    )
    told.out.write_text(text, encoding="utf-8")
    blocks = {
        part.split('"')[0]: len(part.split(">", 1)[1].split("<")[0])
        for part in explorer.tail.split('id="explorer-')[1:]
    }
    document = {
        "clusters": len(contents),
        "estimators": len(contents.estimates),
        "pixels": contents.parts[0].survey.sizes["x"],
        "page_mb": round(len(text.encode()) / 1e6, 2),
        "blocks_mb": {name: round(size / 1e6, 3) for name, size in blocks.items()},
        "seconds": round(seconds, 1),
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
