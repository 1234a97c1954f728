"""``python -m icmass`` is the command `icmass`."""

from icmass.cli import main

main()
