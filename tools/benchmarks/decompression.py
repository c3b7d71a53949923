"""Decompressing and hashing alone, which no conversion can do without: prints the seconds that it takes.

python -m tools.benchmarks.decompression FILE...
"""

import gzip
import hashlib
import sys
import time
from collections.abc import Sequence


def seconds(paths: Sequence[str]) -> float:
    """To put what these gzip files hold through SHA-256."""
    start = time.perf_counter()
    for path in paths:
        with gzip.open(path) as file:
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - start


if __name__ == "__main__":
    print(seconds(sys.argv[1:]))
