"""Download MNIST or Fashion-MNIST, like `ddmlp fetch`.

python tools/fetch_mnist.py mnist
python tools/fetch_mnist.py fashion --dataset fashion-mnist
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of ddmlp, which may not be installed

from ddmlp.cli.fetch import main
from ddmlp.cli.terminal import command

if __name__ == "__main__":
    command(main)
