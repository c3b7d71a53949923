"""A valid manifest, and its JSON."""

from typing import Any

from ddmlp.data.manifest import Manifest, Shard
from ddmlp.data.position import Position

SHARDS = Shard("00000.arrow", 3, 900, "a" * 64), Shard("00001.arrow", 2, 800, "b" * 64)
GOOD = Manifest(5, (2, 3), 4, 2, SHARDS)


POSITION = Position({"kind": "kafka", "topic": "digits"}, {"0": "12", "1": "9"}, 3)


def document() -> dict[str, Any]:
    """Return the JSON of GOOD, written by hand."""
    return {
        "format": "ddmlp-dataset",
        "version": 1,
        "rows": 5,
        "image_shape": [2, 3],
        "classes": 4,
        "batch_rows": 2,
        "shards": [
            {"file": "00000.arrow", "rows": 3, "bytes": 900, "sha256": "a" * 64},
            {"file": "00001.arrow", "rows": 2, "bytes": 800, "sha256": "b" * 64},
        ],
    }
