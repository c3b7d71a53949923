"""What the README promises."""

import re
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()
_FULL = re.findall(r"^weights sha256  (\w{64})$", README, re.MULTILINE)
_SAMPLE = re.findall(r"5,000 of its digits[^`]*`(\w{64})`", README)
# The SHA-256 of the weights of `make train`, by dataset.
PROMISED = {"full MNIST": _FULL[0], "the 5,000 digits": _SAMPLE[0]}
