"""Train the golden networks as on other processors: python -m tests.portability

Numba, NumPy and BLAS are told which processor to compute for; 64-bit Arm is emulated. Prints a table; exits with 1
if a hash differs or a training fails. A target that is not available here is reported, but is not a failure.
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.portability import arm64
from tests.portability.arm64 import ROOT, Unavailable
from tests.support import golden

BUILD = ROOT / "build"
SECONDS = 600  # limit for all trainings on one target
EQUAL, DIFFERS, FAILED, ABSENT = "equal", "DIFFERS", "FAILED", "not available"
RESULTS = {0: EQUAL, 1: DIFFERS}  # by exit status of tests.support.golden
OLD = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}


class Row(NamedTuple):
    """The outcome of the trainings on one target."""

    target: str
    seconds: float
    result: str
    details: str


def here(name: str | None = None, needs: AbstractSet[str] = frozenset(), **more: str) -> list[str]:
    """The command that runs this Python, with Numba compiling for the processor `name`. Raises Unavailable."""
    if missing := needs - features():
        raise Unavailable(f"this machine has no {', '.join(sorted(missing))}")
    chosen = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""} if name else {}
    return ["env", *(f"{key}={value}" for key, value in {**chosen, **more}.items()), sys.executable]


def features() -> frozenset[str]:
    """The features of an x86-64 processor, as Linux lists them; empty on other machines."""
    info = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not info.exists():
        return frozenset()
    return frozenset(next(line for line in info.read_text().splitlines() if line.startswith("flags")).split())


# Each target's function that returns the command for its Python. The slowest is first; the others run beside it.
TARGETS: dict[str, Callable[[], list[str]]] = {
    "arm64 (emulated)": partial(arm64.python, BUILD / "arm64"),
    "this machine": here,
    "skylake-avx512": partial(here, "skylake-avx512", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
    "haswell": partial(here, "haswell", {"avx2", "bmi2", "fma"}, OPENBLAS_CORETYPE="Haswell"),
    "nehalem": partial(here, "nehalem", {"sse4_2", "popcnt"}, **OLD),  # no fma, no AVX
    "generic": partial(here, "generic", **OLD),
}


def trained(target: str, data: Path) -> Row:
    """Train all golden networks on a target."""
    begun = time.monotonic()
    try:
        command = [*TARGETS[target](), "-m", "tests.support.golden", "--data", str(data)]
        # The user's cache of compiled kernels has no room for this many processors.
        apart = os.environ | {"DDMLP_CACHE": str(BUILD / "portability")}
        done = subprocess.run(command, cwd=ROOT, env=apart, capture_output=True, text=True, timeout=SECONDS)
        result, details = RESULTS.get(done.returncode, FAILED), done.stderr
    except Unavailable as error:
        result, details = ABSENT, str(error)
    except subprocess.TimeoutExpired:
        result, details = FAILED, f"not finished after {SECONDS} s"
    return Row(target, time.monotonic() - begun, result, details.strip())


def main() -> int:
    with TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        golden.make_data(Path(folder))
        rows = []
        for row in pool.map(partial(trained, data=Path(folder)), TARGETS):
            rows.append(row)
            print(f"{row.target:<16}  {row.seconds:7.1f} s  {row.result}", flush=True)
    for row in rows:
        if row.result != EQUAL:
            print(f"{row.target}: {row.result}: {row.details}", file=sys.stderr)
    return 1 if {row.result for row in rows} & {DIFFERS, FAILED} else 0


if __name__ == "__main__":
    sys.exit(main())
