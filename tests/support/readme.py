"""What the README promises."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_TABLE = README.read_text().split("| data | `weights sha256` |\n")[1].split("\n\n")[0]
# Data to the SHA-256 of the weights with which `make train` ends.
PROMISED = dict(re.findall(r"^\| (.+?) \| `(\w+)` \|$", _TABLE, re.MULTILINE))
