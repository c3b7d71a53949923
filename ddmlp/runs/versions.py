"""The versions of the software that computes a result."""

import platform
from functools import cache
from importlib import metadata
from importlib.util import find_spec

from ddmlp import __version__


@cache
def versions() -> dict[str, str]:
    """Return versions by name, for checkpoints and results. Only the version of ddmlp can change the bits."""
    from ddmlp.nn.compiled import processor  # imported late, because it loads the compiler

    # Ray is optional.
    found = [name for name in ("numpy", "numba", "llvmlite", "pyarrow", "ray") if find_spec(name)]
    return {
        "ddmlp": __version__,
        "python": platform.python_version(),
        "processor": f"{platform.machine()} {processor()}",
        **{name: metadata.version(name) for name in found},
    }
