"""What a run is a function of, which is config.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ddmlp.config import TrainConfig
from ddmlp.data.manifest import Manifest
from ddmlp.errors import ConfigError, RunError, printable
from ddmlp.files import write_whole
from ddmlp.numerics import ARITHMETIC
from ddmlp.runs.json_text import Positive, Sha256, from_json

# Settings by the version of config.json that they came with, each with the value that stands for what every run did
# before. A file of an earlier version does not have the setting, and its run did that. Version 1 has all others.
ADDED: dict[int, dict[str, Any]] = {2: {"init_sha256": "", "begun_epochs": 0}}


class _Frame(msgspec.Struct):
    """What config.json has besides settings. Files of the first releases have no version, and no arithmetic."""

    data: Annotated[str, Meta(pattern=r"^[^\0]*\Z")]
    dataset_sha256: Sha256
    version: Positive = 1
    arithmetic: Positive = 1


@dataclass(frozen=True)
class Origin:
    """What a run is a function of: the settings, the dataset, by its path and its fingerprint, and the arithmetic."""

    config: TrainConfig
    data: Path
    dataset_sha256: str
    arithmetic: int = ARITHMETIC

    @classmethod
    def from_manifest(cls, config: TrainConfig, data: Path, train: Manifest) -> "Origin":
        """What a run with these settings on the dataset `data`/train is a function of; train: its manifest."""
        return cls(config, data, train.identity(growing=config.follow))

    @classmethod
    def read(cls, path: Path) -> "Origin":
        """From a config.json. Raises FileNotFoundError, and RunError if it is damaged or a newer ddmlp wrote it."""
        try:
            settings = from_json(path.read_bytes(), dict[str, Any], file_names=True)
            frame = msgspec.convert(settings, _Frame)
            for name in _Frame.__struct_fields__:
                settings.pop(name, None)
            known, version = TrainConfig.names(), _newest()
            if frame.version > version:
                raise RunError(
                    f"{path} is of version {frame.version}, expected {version} at most: a newer ddmlp wrote it; update "
                    "ddmlp"
                )
            if unknown := settings.keys() - known:
                raise RunError(f"{path} has the setting {min(unknown)!r}: a newer ddmlp wrote it; update ddmlp")
            for added, values in ADDED.items():
                if frame.version < added:
                    settings = {**values, **settings}
            if missing := [name for name in known if name not in settings]:
                raise RunError(f"{path} has no {missing[0]!r}: it is damaged")
            return cls(TrainConfig(**settings), Path(frame.data), frame.dataset_sha256, frame.arithmetic)
        except (ValueError, TypeError, ConfigError) as error:
            raise RunError(f"{path} is damaged: {printable(str(error))}") from None

    def write(self, path: Path) -> None:
        """To a config.json."""
        frame = {"data": str(self.data), "dataset_sha256": self.dataset_sha256, "arithmetic": self.arithmetic}
        text = json.dumps({"version": _newest(), **self.config.as_dict(), **frame}, indent=1)
        write_whole(path, text + "\n")

    @property
    def fixed(self) -> dict[str, Any]:
        """What the result is a function of, wherever the data lie: settings, data and arithmetic, as JSON.

        Hashes are made of it, so a setting that was added later is in it only if the run does anything new. Epochs that
        are added to a run change none of the steps that it was begun for, and so it stays the same run.
        """
        before = {name: value for values in ADDED.values() for name, value in values.items()}
        config = {
            name: value
            for name, value in self.config.begun.as_dict().items()
            if name not in before or value != before[name]
        }
        return {"config": config, "dataset_sha256": self.dataset_sha256, "arithmetic": self.arithmetic}


def _newest() -> int:
    """The version of config.json that is written."""
    return max(ADDED, default=1)
