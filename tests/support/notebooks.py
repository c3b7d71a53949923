"""The notebooks of examples/ as they are in the repository; `python -m tests.support.notebooks` removes outputs."""

from pathlib import Path
from typing import Any

import nbformat

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def plain(text: str) -> str:
    """The text of a notebook without what an execution or an editor has left there. Raises ValidationError."""
    notebook: Any = nbformat.reads(text, as_version=4)
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id, cell.metadata = f"{number:02d}", nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.validate(notebook)
    return nbformat.writes(notebook, indent=1) + "\n"


if __name__ == "__main__":
    for path in PATHS:
        path.write_text(plain(path.read_text()))
