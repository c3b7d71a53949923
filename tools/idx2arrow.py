"""Convert IDX files into Arrow datasets: what `ddmlp convert` does.

python tools/idx2arrow.py SOURCE OUT                       OUT/train and OUT/test, from the four usual files
python tools/idx2arrow.py --images FILE --labels FILE OUT  one dataset, OUT, from one pair
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where ddmlp is, also for a Python that lacks the rest

from ddmlp.cli.convert import main
from ddmlp.cli.terminal import command

if __name__ == "__main__":
    command(main)
