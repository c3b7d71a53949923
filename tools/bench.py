"""Compare the speed of ddmlp with other libraries, and write a page in docs/benchmarks/: python tools/bench.py DATA"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of the packages ddmlp and tools

    from ddmlp.cli.terminal import command
    from tools.benchmarks.command import main

    command(main)
