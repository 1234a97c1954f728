"""Magneticum, the simulation: job folders of its web services, with photon lists of PHOX."""

from __future__ import annotations

import re

from icmass.missions.mission import Mission
from icmass.missions.photon_jobs import JobLayout

MISSION = Mission(
    name="magneticum",
    title="Magneticum",
    jobs=JobLayout(
        parameters="job.par",
        lists=("phlist.fits", "phlist.fits.gz"),
        folder=re.compile(r"snap_?(\d+)_cluster_?(\d+)", re.IGNORECASE),
        example="snap_128_cluster_313",
        id_keys=(
            "cluster_id", "clusterid", "cluid", "icluster", "ihal", "halo_id", "cluster",
        ),
        snapshot_keys=("snapnum", "snapshot", "snap"),
        mode_keys=("mode",),
        cluster_key="csv_",
        modes={1: "icm", 2: "agn", 3: "observed"},
        box_mpc_h=352.0,  # Box2/hr
        m_star_min=10**9.5,  # that of the simulated surveys and of Ho et al. 2023
    ),
)  # fmt: skip
