"""The templates of the pages that benchmarks write."""

from pathlib import Path

import jinja2


def templates(folder: Path = Path(__file__).parent) -> jinja2.Environment:
    """The templates in a folder, by default this one. A name that has no value is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
