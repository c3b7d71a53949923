"""The order of updates: a line for each update, and impossible lines are found."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.errors import RunError
from ddmlp.plan.plan import Update
from ddmlp.runs.update_log import UpdateLog

ORDER = [(0, 0), (2, 0), (1, 0), (3, 2)]  # of four updates


@st.composite
def orders(draw):
    """Any order of steps, each with any version that it may have read."""
    steps = draw(st.permutations(range(draw(st.integers(0, 12)))))
    return [(step, draw(st.integers(0, version))) for version, step in enumerate(steps)]


def written(path: Path, order: list[tuple[int, int]]) -> UpdateLog:
    made = UpdateLog(path)
    made.rewind(0)
    append(made, order)
    return made


def append(updates: UpdateLog, order: list[tuple[int, int]]) -> None:
    for update in order:
        updates.append(Update(*update))
    updates.commit()


@pytest.fixture
def updates(tmp_path: Path) -> UpdateLog:
    """The file of ORDER."""
    return written(tmp_path / "updates.txt", ORDER)


def refusal(updates: UpdateLog, count: int = 4) -> str:
    with pytest.raises(RunError) as caught:
        updates.load(count)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{updates.path} ")


def test_simple(updates):
    assert updates.path.read_bytes() == b"".join(b"%12d %12d\n" % update for update in ORDER)
    assert updates.path.stat().st_size == 4 * 26
    assert updates.load(4).tolist() == [list(update) for update in ORDER]
    assert updates.load(1).tolist() == [[0, 0]]


def test_no_updates(tmp_path):
    updates = written(tmp_path / "updates.txt", [])
    assert updates.load(0).shape == (0, 2)


def test_commit(updates):
    updates.append(Update(4, 4))
    assert UpdateLog(updates.path).load(4).tolist() == updates.load(4).tolist()
    refusal(updates, 5)
    updates.commit()
    assert updates.load(5)[4].tolist() == [4, 4]
    updates.commit()
    assert updates.path.stat().st_size == 5 * 26


@pytest.mark.parametrize("cut", [b"", b"%12d", b"%12d %1", b"%12d %12d\n", b"\0" * 26, b"x" * 100])
def test_rewind(updates, cut):
    with updates.path.open("ab") as file:
        file.write(cut.replace(b"%12d", b"%12d" % 4))  # left by a crash
    again = UpdateLog(updates.path)
    again.rewind(2)
    assert updates.path.stat().st_size == 2 * 26
    append(again, [(1, 2), (3, 3)])
    assert again.load(4).tolist() == [[0, 0], [2, 0], [1, 2], [3, 3]]


def test_rewind_drops_uncommitted(updates):
    updates.append(Update(9, 4))
    updates.rewind(4)
    append(updates, [(4, 4)])
    assert updates.load(5)[4].tolist() == [4, 4]


@pytest.mark.parametrize(("size", "lines"), [(4 * 26, 4), (4 * 26 - 1, 3), (26, 1), (25, 0), (0, 0)])
def test_too_few_lines(updates, size, lines):
    with updates.path.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(RunError, match=rf"^{updates.path} has {lines} lines\b.*\b5\b"):
        UpdateLog(updates.path).rewind(5)
    assert updates.path.stat().st_size == size, "the file is left as it was"


def test_missing_file(tmp_path):
    updates = UpdateLog(tmp_path / "updates.txt")
    assert refusal(updates).startswith("is missing")
    with pytest.raises(RunError, match=r"has 0 lines\b.*\b1\b"):
        updates.rewind(1)


@pytest.mark.parametrize(
    ("line", "text", "says"),
    [
        (1, (1, 0), "is damaged: line 3 repeats step 1"),
        (3, (4, 0), "is damaged: line 4 says step 4 read version 0"),
        (0, (0, 1), "is damaged: line 1 says step 0 read version 1"),
        (2, (1, 3), "is damaged: line 3 says step 1 read version 3"),
        (2, (1, -1), "is damaged or has fewer than 4 lines: line 3"),
        (2, (-1, 1), "is damaged or has fewer than 4 lines: line 3"),
        (0, b"x" * 26, "is damaged or has fewer than 4 lines"),
        (1, b"\xff" * 26, "is damaged or has fewer than 4 lines"),
        (2, b"\0" * 26, "is damaged or has fewer than 4 lines"),
        (3, b" " * 26, "is damaged or has fewer than 4 lines"),
        (3, b"9" * 26, "is damaged or has fewer than 4 lines: line 4"),
    ],
)
def test_impossible_lines(updates, line, text, says):
    content = bytearray(updates.path.read_bytes())
    content[line * 26 : (line + 1) * 26] = text if isinstance(text, bytes) else b"%12d %12d\n" % text
    updates.path.write_bytes(content)
    assert refusal(updates).startswith(says)


@pytest.mark.parametrize("size", [0, 1, 26, 4 * 26 - 1])
def test_cut_file(updates, size):
    with updates.path.open("r+b") as file:
        file.truncate(size)
    assert refusal(updates).startswith("is damaged or has fewer than 4 lines")


@given(orders(), st.integers(0, 12), st.binary(max_size=60))
@example([], 0, b"")
@example([(0, 0)], 1, b"%12d" % 1)
def test_round_trip(order, kept, rest):
    kept = min(kept, len(order))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "updates.txt")
        written(path, order)
        path.write_bytes(path.read_bytes() + rest)
        again = UpdateLog(path)
        assert again.load(len(order)).tolist() == [list(update) for update in order]
        again.rewind(kept)
        append(again, order[kept:])
        assert again.load(len(order)).tolist() == [list(update) for update in order]
        assert path.stat().st_size == 26 * len(order)


@given(orders().filter(len), st.data())
def test_any_damage(order, data):
    """A changed byte is found, changes nothing, or gives another possible order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "updates.txt")
        updates = written(path, order)
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            found = updates.load(len(order)).tolist()
        except RunError:
            return
    assert sorted(step for step, _ in found) == list(range(len(order)))
    assert all(0 <= read <= version for version, (_, read) in enumerate(found))
