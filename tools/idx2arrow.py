"""Convert IDX files into Arrow datasets, like `ddmlp convert`.

python tools/idx2arrow.py SOURCE OUT                       OUT/train and OUT/test, from the four MNIST files
python tools/idx2arrow.py --images FILE --labels FILE OUT  the dataset OUT, from one pair of files
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of ddmlp, which may not be installed

from ddmlp.cli.convert import main
from ddmlp.cli.terminal import command

if __name__ == "__main__":
    command(main)
