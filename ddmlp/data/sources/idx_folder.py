"""Folders with four IDX files: those of MNIST, EMNIST and QMNIST, and of sets with MNIST's names."""

from pathlib import Path

from ddmlp.data.changes import Changes
from ddmlp.data.emnist import FIRST_LABELS, SETS, set_of, sets_in
from ddmlp.data.sources.idx_pair import Pair, find_pairs
from ddmlp.data.sources.parts import Parts
from ddmlp.errors import ConfigError

MNIST, QMNIST = "mnist", "qmnist"  # the first is any set with the names of MNIST's files
ALL = (MNIST, QMNIST, *SETS)


def find_idx(folder: Path, name: str | None = None) -> Parts:
    """Find the training pair and the test pair of a set; raises IdxError if a file is missing.

    name: which of ALL; by default the only one in the folder. Raises ConfigError if it has several.
    """
    name = name or _only_set(folder)
    prefixes = [] if name == MNIST else [f"{name}-train", f"{name}-test"]
    train, test = find_pairs(folder, *prefixes)
    return pair_parts(train, test)


def pair_parts(train: Pair, test: Pair | None = None) -> Parts:
    """Return the parts of one pair or two, with what is known by the name of the file of images."""
    known = set_of(train.images)
    if known is None:
        return Parts(train, test)
    changes = Changes(transpose=True, first_label=FIRST_LABELS.get(known, 0))
    return Parts(train, test, changes, SETS[known], f"{known}, by the name of {train.images}")


def _only_set(folder: Path) -> str:
    """Return the only set in a folder; raises ConfigError if it has several."""
    found = sets_in(folder) if folder.is_dir() else []
    found = [
        *(name for name, begin in ((MNIST, "train"), (QMNIST, "qmnist-train")) if any(folder.glob(f"{begin}-images*"))),
        *found,
    ]
    if len(found) > 1:
        raise ConfigError(f"{folder} has the sets {', '.join(found)}; choose one, for example by --set {found[-1]}")
    return found[0] if found else MNIST
