"""Download MNIST or Fashion-MNIST: what `ddmlp fetch` does.

python tools/fetch_mnist.py mnist
python tools/fetch_mnist.py fashion --dataset fashion-mnist
"""

from ddmlp.cli.fetch import main
from ddmlp.cli.terminal import command

if __name__ == "__main__":
    command(main)
