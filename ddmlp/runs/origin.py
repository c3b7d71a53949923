"""What determines the result of a run: config.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ddmlp.config import TrainConfig
from ddmlp.data.manifest import Manifest
from ddmlp.data.transform import Transform
from ddmlp.errors import ConfigError, RunError, printable
from ddmlp.files import write_whole
from ddmlp.numerics import ARITHMETIC
from ddmlp.runs.json_text import Positive, Sha256, from_json

# Settings by the version of config.json that introduced them, each with the value that stands for the behaviour of
# earlier runs. A file of an earlier version lacks the setting, and gets that value. Version 1 has all others.
ADDED: dict[int, dict[str, Any]] = {
    2: {"init_sha256": "", "begun_epochs": 0},
    3: {"gradient_bits": 0},
    4: {"transform_sha256": ""},
    5: {"lr_end": 0.01},
    6: {"augment": ""},
}


class _Frame(msgspec.Struct):
    """What config.json holds apart from settings. Files of the first releases have neither version nor arithmetic."""

    data: Annotated[str, Meta(pattern=r"^[^\0]*\Z")]
    dataset_sha256: Sha256
    version: Positive = 1
    arithmetic: Positive = 1
    transform: str = ""
    transform_answer: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""


@dataclass(frozen=True)
class Origin:
    """What determines the result of a run: settings, dataset and arithmetic.

    Parameters
    ----------
    config
        The settings.
    data
        The folder with train/ and test/.
    dataset_sha256
        The identity of the training data; see `Manifest.identity`.
    arithmetic
        The version of the arithmetic; results of different versions differ in bits.
    transform, transform_answer
        The name and the answer of its transform; see `Transform`. Both are "" if there is none.

    Examples
    --------
    >>> origin = Origin(TrainConfig(hidden=100), Path("data"), 64 * "a")
    >>> origin.fixed["config"]["hidden"]
    100
    >>> "data" in origin.fixed
    False
    """

    config: TrainConfig
    data: Path
    dataset_sha256: str
    arithmetic: int = ARITHMETIC
    transform: str = ""
    transform_answer: str = ""

    @classmethod
    def from_manifest(
        cls, config: TrainConfig, data: Path, train: Manifest, transform: Transform | None = None
    ) -> "Origin":
        """Return the origin of a run with these settings on `data`/train, whose manifest is `train`."""
        told = (transform.name, transform.answer) if transform else ("", "")
        return cls(config, data, train.identity(growing=config.follow), ARITHMETIC, *told)

    @classmethod
    def read(cls, path: Path) -> "Origin":
        """Read a config.json.

        Raises
        ------
        FileNotFoundError
            If it does not exist.
        RunError
            If it is damaged, or was written by a newer version of ddmlp.
        """
        try:
            settings = from_json(path.read_bytes(), dict[str, Any], file_names=True)
            frame = msgspec.convert(settings, _Frame)
            for name in _Frame.__struct_fields__:
                settings.pop(name, None)
            known, version = TrainConfig.names(), _newest()
            if frame.version > version:
                raise RunError(
                    f"{path} has version {frame.version}, expected at most {version}: a newer ddmlp wrote it; update "
                    "ddmlp"
                )
            if unknown := settings.keys() - known:
                raise RunError(f"{path} has the setting {min(unknown)!r}: a newer ddmlp wrote it; update ddmlp")
            for added, values in ADDED.items():
                if frame.version < added:
                    settings = {**values, **settings}
            if missing := [name for name in known if name not in settings]:
                raise RunError(f"{path} is damaged: it has no {missing[0]!r}")
            told = frame.arithmetic, frame.transform, frame.transform_answer
            return cls(TrainConfig(**settings), Path(frame.data), frame.dataset_sha256, *told)
        except (ValueError, TypeError, ConfigError) as error:
            raise RunError(f"{path} is damaged: {printable(str(error))}") from None

    def write(self, path: Path) -> None:
        """Write a config.json. Raises OSError."""
        frame = {"data": str(self.data), "dataset_sha256": self.dataset_sha256, "arithmetic": self.arithmetic}
        if self.transform:
            frame |= {"transform": self.transform, "transform_answer": self.transform_answer}
        text = json.dumps({"version": _newest(), **self.config.as_dict(), **frame}, indent=1)
        write_whole(path, text + "\n")

    @property
    def fixed(self) -> dict[str, Any]:
        """Settings, dataset and arithmetic as JSON, without the path of the dataset or the place of the transform.

        Hashes are computed from it, so it contains a setting of a later version only if the run uses it. Epochs that
        are added to a run change none of its earlier steps, so they do not count: it stays the same run.
        """
        before = {name: value for values in ADDED.values() for name, value in values.items()}
        config = {
            name: value
            for name, value in self.config.begun.as_dict().items()
            if name not in before or value != before[name]
        }
        return {"config": config, "dataset_sha256": self.dataset_sha256, "arithmetic": self.arithmetic}


def _newest() -> int:
    """Return the version of config.json that this ddmlp writes."""
    return max(ADDED, default=1)
