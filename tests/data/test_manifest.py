"""The manifest: round trip, fingerprints of data and form, and the end marker."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from ddmlp.data.manifest import NAME, Manifest, Shard
from ddmlp.errors import DatasetError
from tests.support.manifests import GOOD, POSITION, SHARDS, document


def test_simple(tmp_path):
    GOOD.write(tmp_path)
    assert Manifest.read(tmp_path) == GOOD
    assert GOOD.pixels == 6
    assert json.loads((tmp_path / NAME).read_text()) == document()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@given(
    shape=st.tuples(st.integers(1, 2**12), st.integers(1, 2**12)),
    classes=st.integers(1, 256),
    batch_rows=st.integers(1, 2**53),
    rows=st.lists(st.integers(1, 2**40), min_size=1, max_size=5),
)
def test_round_trip(tmp_path_factory, shape, classes, batch_rows, rows):
    folder = tmp_path_factory.mktemp("round")
    shards = tuple(Shard(f"{index:05d}.arrow", n, n + 1, f"{index:064x}") for index, n in enumerate(rows))
    manifest = Manifest(sum(rows), shape, classes, batch_rows, shards)
    manifest.write(folder)
    assert Manifest.read(folder) == manifest
    assert Manifest.read(folder).sha256() == manifest.sha256()


@pytest.mark.parametrize(
    "other",
    [
        replace(GOOD, image_shape=(3, 2)),
        replace(GOOD, classes=5),
        replace(GOOD, batch_rows=3),
        replace(GOOD, shards=SHARDS[::-1]),
        replace(GOOD, rows=6, shards=(replace(SHARDS[0], rows=4), SHARDS[1])),
        replace(GOOD, shards=(replace(SHARDS[0], file="x"), SHARDS[1])),
        replace(GOOD, shards=(replace(SHARDS[0], bytes=901), SHARDS[1])),
        replace(GOOD, shards=(replace(SHARDS[0], sha256="c" * 64), SHARDS[1])),
    ],
)
def test_fingerprint(other):
    assert other.sha256() != GOOD.sha256()
    assert replace(other, **{name: getattr(GOOD, name) for name in asdict(GOOD)}).sha256() == GOOD.sha256()


def test_end_marker(tmp_path):
    ended = replace(GOOD, ended=True)
    ended.write(tmp_path)
    assert json.loads((tmp_path / NAME).read_text()) == {**document(), "ended": True}
    assert Manifest.read(tmp_path) == ended
    GOOD.write(tmp_path)
    assert "ended" not in (tmp_path / NAME).read_text()
    assert not Manifest.read(tmp_path).ended


def test_fingerprint_without_end(tmp_path):
    GOOD.write(tmp_path)
    assert GOOD.sha256() == hashlib.sha256((tmp_path / NAME).read_bytes()).hexdigest()
    assert replace(GOOD, ended=True).sha256() == GOOD.sha256()


def test_position(tmp_path):
    """The position is kept, but not part of the fingerprint: the rows are the same as from a file."""
    found = replace(GOOD, position=POSITION)
    found.write(tmp_path)
    position = {"identity": {"kind": "kafka", "topic": "digits"}, "offsets": {"0": "12", "1": "9"}, "bad_rows": 3}
    assert json.loads((tmp_path / NAME).read_text()) == {**document(), "position": position}
    assert Manifest.read(tmp_path) == found
    assert (found.sha256(), found.form()) == (GOOD.sha256(), GOOD.form())
    assert found.prefix(1).position is None
    assert POSITION.at("1", "10", 4).offsets == {"0": "12", "1": "10"}
    assert POSITION.at("1", "10", 4).bad_rows == 4
    assert replace(POSITION, time=1_795_912_512_932).at("1", "10").time == 1_795_912_512_932


def test_times(tmp_path):
    """The times of shards are kept, but not part of the fingerprint."""
    first, second = 1_795_912_512_932, 1_795_912_513_000
    found = replace(GOOD, shards=(replace(SHARDS[0], time=first), replace(SHARDS[1], time=second)))
    found.write(tmp_path)
    assert Manifest.read(tmp_path) == found
    assert [shard["time"] for shard in json.loads((tmp_path / NAME).read_text())["shards"]] == [first, second]
    assert (found.sha256(), found.form()) == (GOOD.sha256(), GOOD.form())
    assert found.prefix(1).sha256() == GOOD.prefix(1).sha256()
    assert [found.time_at(rows) for rows in (0, 2, 3, 4, 5, 9)] == [None, None, first, first, second, second]
    assert GOOD.time_at(5) is None


def test_class_names(tmp_path):
    """Class names are kept, but not part of the fingerprint."""
    names = ("T-shirt", "Trouser", "\u00c4rmel", "d")
    named = replace(GOOD, class_names=names, ended=True)
    named.write(tmp_path)
    assert json.loads((tmp_path / NAME).read_text()) == {**document(), "ended": True, "class_names": [*names]}
    assert Manifest.read(tmp_path) == named
    assert (named.sha256(), named.form()) == (GOOD.sha256(), GOOD.form())
    assert named.prefix(1).class_names == names
    GOOD.write(tmp_path)
    assert Manifest.read(tmp_path).class_names is None


def test_unchanged_format(tmp_path):
    """The SHA-256 of the text identifies the dataset in runs and checkpoints of older versions."""
    GOOD.write(tmp_path)
    assert (tmp_path / NAME).read_text() == json.dumps(document(), indent=1) + "\n"
    assert GOOD.sha256() == "a21d65310a34eba4d94800fb731e6b205693340fd86f96c49d9c061442dcdf7d"
    assert GOOD.form() == "335a5232771923a31fd03f6119573292d78b07b28d1072d05014780088f9a235"


def test_prefix():
    assert replace(GOOD, ended=True).prefix(1) == replace(GOOD, rows=3, shards=SHARDS[:1])
    assert replace(GOOD, ended=True).prefix(2) == GOOD
    for shards in (-1, 0, 3):
        with pytest.raises(DatasetError, match=f"2 shards, expected .* {shards} "):
            GOOD.prefix(shards)


def test_form():
    same = [replace(GOOD, rows=3, shards=SHARDS[:1]), replace(GOOD, batch_rows=3), replace(GOOD, ended=True)]
    assert {other.form() for other in same} == {GOOD.form()}
    others = [replace(GOOD, image_shape=(3, 2)), replace(GOOD, image_shape=(6, 1)), replace(GOOD, classes=5)]
    assert len({other.form() for other in [GOOD, *others]}) == 4
