"""A package with two kernels, to be imported repeatedly as if by new processes."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn import code_cache, compiled

SOURCES = {
    "inner": "from ddmlp.nn.compiled import inlined\n\n@inlined\ndef weighted(x):\n    return x * 2\n",
    "kernels": """if True:
        import numpy as np
        from ddmlp.nn.compiled import kernel, record
        from inner import weighted
        from tests.support.kernels import Pair

        @kernel("float32[::1]", "int64")
        def total(x, n):
            if n > len(x):
                raise ValueError("too many")
            sums = np.zeros(1, np.float32)
            for i in range(n):
                sums[0] += weighted(x[i])
            return sums[0]

        @kernel(record(Pair, "float32[::1]", "uint8[:, ::1]"), "Array(float32, 1, 'C', readonly=True)", "float64")
        def mixed(pair, x, rate):
            return pair.a[0] + pair.b[1, 1] + x[2] * rate
    """,
}
X = np.arange(5, dtype=np.float32)
EYE = np.eye(2, dtype=np.uint8)
TOTAL = 20  # total(X, 5), and twice the sum of X


class Pair(NamedTuple):
    """A kernel's argument. It outlives the package, because Numba identifies a NamedTuple's class by its address."""

    a: NDArray[np.float32]
    b: NDArray[np.uint8]


class Kernels:
    """The package's sources, its code cache, and the messages to the user."""

    def __init__(self, folder: Path) -> None:
        self.sources = folder / "sources"
        self.sources.mkdir()
        self.write(**SOURCES)
        self.cache = folder / "cache"
        self.store = self.cache / "kernels"
        self.announced: list[str] = []

    def write(self, **sources: str) -> None:
        """Write modules with an old modification time."""
        for name, text in sources.items():
            (self.sources / f"{name}.py").write_text(text)
            os.utime(self.sources / f"{name}.py", (1e9, 1e9))

    def load(self) -> ModuleType:
        """Import the module with the kernels, as if in a new process without earlier messages."""
        for name in SOURCES:
            sys.modules.pop(name, None)
        self.announced.clear()
        compiled._announce_once.cache_clear()
        code_cache._digest.cache_clear()
        importlib.invalidate_caches()
        return importlib.import_module("kernels")

    def code(self) -> list[Path]:
        """Return the files in the cache."""
        return sorted(path for path in self.store.rglob("*") if path.is_file())
