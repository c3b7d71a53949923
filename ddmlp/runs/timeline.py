"""The script that draws a trace in a browser: in a report, and on the page of a run."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

FILES = tuple(Path(__file__).with_name(f"{name}.js") for name in ("timeline_drawing", "timeline"))


@cache
def script() -> str:
    """Return the modules of the script as one, for a page that can load no others."""
    text = "\n".join(path.read_text() for path in FILES)
    return re.sub(r"^import .*\n|^export (?=function|class)", "", text, flags=re.MULTILINE)


@cache
def digest() -> str:
    """Return what a content security policy calls the script, to allow it and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()}'"
