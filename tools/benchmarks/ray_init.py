"""What ray.init alone takes, in a process of its own: prints the seconds. python -m tools.benchmarks.ray_init"""

import os
import time

from ddmlp.ray_backend.cluster import ALWAYS, OWN, connect


def seconds() -> float:
    """From a process that has imported Ray to one that has started a Ray as the trainer does."""
    os.environ.update(ALWAYS | OWN)  # before the import, as the trainer does it
    import ray  # noqa: F401

    start = time.perf_counter()
    cluster = connect("local")
    found = time.perf_counter() - start
    cluster.leave()
    return found


if __name__ == "__main__":
    print(seconds())
