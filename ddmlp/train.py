"""Train: python -m ddmlp.train --data DIR --workers N"""

from ddmlp.cli.terminal import command
from ddmlp.cli.train import main

if __name__ == "__main__":
    command(main)
