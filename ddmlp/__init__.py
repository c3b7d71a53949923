"""ddmlp: a streaming distributed trainer whose result does not depend on who computed it."""

from pathlib import Path

__version__ = "0.2.0"

# `python -m ddmlp.verify` runs ddmlp/cli/verify.py, and likewise each other command: their folder belongs to the path
# on which the modules of this package are looked up.
__path__.append(str(Path(__file__).parent / "cli"))
