"""The templates of the pages that benchmarks write."""

from pathlib import Path

import jinja2


def templates() -> jinja2.Environment:
    """The templates in this folder. A name that has no value is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
