"""Write the metadata of the bundled models' cards anew, from their configuration and scores.

    python tools/model_cards.py [FOLDER...]

The folders are those of `src/icmass/models` by default. What a card says below its metadata stays.
To be run when a bundled model is new or has new scores; `tests/test_model_cards.py` compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from icmass.estimators.card import BUNDLED_LICENSE, describe_model

MODELS = Path(__file__).resolve().parents[1] / "src" / "icmass" / "models"


def main() -> None:
    """Do it for each folder that is given, or for all."""
    given = [Path(name) for name in sys.argv[1:]]
    for folder in given or sorted(file.parent for file in MODELS.glob("*/config.json")):
        found = describe_model(folder, name=folder.resolve().name, license=BUNDLED_LICENSE)
        print(folder.name, "with scores" if "model-index" in found else "without scores")


if __name__ == "__main__":
    main()
