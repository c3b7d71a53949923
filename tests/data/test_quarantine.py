"""The quarantine: a file of bad rows, in step with the position of the stream."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ddmlp.data.position import Position
from ddmlp.data.quarantine import MAX_PAYLOAD, NAME, Quarantine, refuse
from ddmlp.data.sources import BadRow
from ddmlp.errors import DatasetError


def bad(number: int, row: int | None = None) -> BadRow:
    return BadRow("0", str(number), row, "too small", b"7", b"abc")


def at(bad_rows: int) -> Position:
    return Position({"kind": "test"}, {"0": "9"}, bad_rows)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def fill(folder: Path, count: int, limit: int = 100) -> None:
    with (found := Quarantine(folder, limit)).opened(None):
        for number in range(count):
            found.add(bad(number))
        found.sync()


def test_simple(tmp_path):
    found = Quarantine(tmp_path / "a" / "b", 5)
    with found.opened(None):
        found.add(bad(17, row=2))
        assert lines(found.path.parent) == []
        found.sync()
        found.sync()
    (line,) = lines(found.path.parent)
    assert base64.b64decode(line.pop("payload")) == b"abc"
    assert line == {
        "number": 1, "partition": "0", "offset": "17", "row": 2, "reason": "too small", "label": "7", "bytes": 3
    }  # fmt: skip


@pytest.mark.parametrize("counted", range(4))
def test_goes_on_at_the_position(tmp_path, counted):
    fill(tmp_path, 3)
    with (found := Quarantine(tmp_path, 100)).opened(at(counted)):
        found.add(bad(30))
        found.sync()
    assert [line["offset"] for line in lines(tmp_path)] == [*map(str, range(counted)), "30"]
    assert [line["number"] for line in lines(tmp_path)] == list(range(1, counted + 2))


def test_torn_line(tmp_path):
    fill(tmp_path, 2)
    with (tmp_path / NAME).open("a") as file:
        file.write('{"number": 3, "par')
    with Quarantine(tmp_path, 100).opened(at(2)):
        assert len(lines(tmp_path)) == 2


def test_limit(tmp_path):
    fill(tmp_path, 2, limit=2)
    found = Quarantine(tmp_path, 2)
    with (
        found.opened(at(2)),
        pytest.raises(DatasetError, match=r"partition 0, offset 5, row 1 .*too small.* at most 2"),
    ):
        found.add(bad(5, row=1))
    assert len(lines(tmp_path)) == 2


def test_rows_of_another_run(tmp_path):
    fill(tmp_path, 2)
    for position in (None, at(3)):
        with pytest.raises(DatasetError, match=NAME), Quarantine(tmp_path, 100).opened(position):
            pass
        assert len(lines(tmp_path)) == 2, "they are kept"


def test_two_runs_at_once(tmp_path):
    other = Quarantine(tmp_path, 100)
    with Quarantine(tmp_path, 100).opened(None), pytest.raises(DatasetError, match=NAME), other.opened(None):
        pass


def test_large_payload(tmp_path):
    with (found := Quarantine(tmp_path, 100)).opened(None):
        found.add(BadRow("0", "1", None, "too large", b"\xff\n", bytes(MAX_PAYLOAD + 1)))
        found.add(BadRow("0", "2", None, "nothing", None, None))
        found.sync()
    first, second = lines(tmp_path)
    assert (first["bytes"], len(base64.b64decode(first["payload"]))) == (MAX_PAYLOAD + 1, MAX_PAYLOAD)
    assert first["label"] == "\\xff\\n"
    assert (second["bytes"], second["payload"], second["label"]) == (0, "", None)


def test_without_quarantine():
    with pytest.raises(DatasetError, match="partition 0, offset 4: too small"):
        refuse(bad(4))
