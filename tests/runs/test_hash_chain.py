"""The hash chain: it grows, is rewound to a checkpoint, survives a crash, and exposes every change to a line."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.errors import RunError
from ddmlp.runs.hash_chain import ChainEntry, HashChain, root

ORIGIN = {"config": {"seed": 1, "lr": 0.5}, "dataset_sha256": "d" * 64}
STEPS = [0, 5, 10, 12]


def weights(step):
    return hashlib.sha256(f"weights {step}".encode()).hexdigest()


def chain_at(path, origin=ORIGIN):
    """A new chain in the folder `path`."""
    chain = HashChain(path / "chain.jsonl", origin)
    assert chain.rewind(0, None) is None
    return chain


@pytest.fixture
def chain(tmp_path: Path) -> HashChain:
    """A chain of STEPS."""
    made = chain_at(tmp_path)
    for step in STEPS:
        made.append(step, weights(step))
    return made


def steps(chain):
    return [entry.step for entry in chain.entries()]


def damage(chain):
    with pytest.raises(RunError) as caught:
        chain.entries()
    assert str(caught.value).startswith(f"{chain.path}, line ")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{chain.path}, line ")


def assert_broken(chain, line, step):
    """Assert that the entry of `step`, in this line, does not follow from the previous one."""
    assert damage(chain).startswith(f"{line}: the entry of step {step} ")


def lines(chain):
    return chain.path.read_bytes().splitlines(keepends=True)


def test_simple(tmp_path):
    chain = chain_at(tmp_path)
    assert chain.digest == root(ORIGIN)
    first = chain.append(0, weights(0))
    second = chain.append(5, weights(5))
    assert chain.entries() == [ChainEntry(0, weights(0), first), ChainEntry(5, weights(5), second)]
    assert chain.digest == second
    assert chain.rewind(0, first) is None
    assert chain.entries() == [ChainEntry(0, weights(0), first)]


def test_digest(chain):
    before = hashlib.sha256(b'{"config": {"lr": 0.5, "seed": 1}, "dataset_sha256": "' + b"d" * 64 + b'"}').hexdigest()
    for line, step in zip(lines(chain), STEPS, strict=True):
        digest = hashlib.sha256(f"{before} {step} {weights(step)}".encode()).hexdigest()
        assert json.loads(line) == {"step": step, "weights_sha256": weights(step), "digest": digest}
        before = digest
    assert chain.digest == before


def test_root():
    assert root(dict(reversed(ORIGIN.items()))) == root(ORIGIN)
    others = [{**ORIGIN, "dataset_sha256": "e" * 64}, {**ORIGIN, "config": {"seed": 2, "lr": 0.5}}, {}]
    assert len({root(origin) for origin in [ORIGIN, *others]}) == 4


def test_no_file(tmp_path):
    assert HashChain(tmp_path / "chain.jsonl", ORIGIN).entries() == []


@pytest.mark.parametrize("index", range(len(STEPS)))
def test_rewind(chain, index):
    entries = chain.entries()
    again = HashChain(chain.path, ORIGIN)
    assert again.rewind(STEPS[index], entries[index].digest) is None
    assert again.entries() == entries[: index + 1]
    assert again.append(99, weights(99)) == ChainEntry.after(entries[index].digest, 99, weights(99)).digest
    assert steps(again) == [*STEPS[: index + 1], 99]


def test_same_steps_again(chain):
    before, entries = chain.path.read_bytes(), chain.entries()
    assert chain.rewind(5, entries[1].digest) is None
    for step in STEPS[2:]:
        chain.append(step, weights(step))
    assert chain.path.read_bytes() == before


def test_start_again(chain):
    found = chain.rewind(0, None)
    assert "step 12" in found
    assert (chain.entries(), chain.digest) == ([], root(ORIGIN))


def test_start_before_step_1(tmp_path):
    chain = chain_at(tmp_path)
    chain.append(0, weights(0))
    assert chain.rewind(0, None) is None
    chain.append(0, weights(0))
    assert steps(chain) == [0]


@pytest.mark.parametrize("step", [4, 5, 10, 12, 50])
def test_unknown_digest(chain, step):
    before = chain.path.read_bytes()
    chain.path.write_bytes(before + b'{"step": 13, "weig')
    again = HashChain(chain.path, ORIGIN)
    found = again.rewind(step, "f" * 64)
    assert all(fact in found for fact in (str(chain.path), "f" * 16, f"step {step}"))
    assert chain.path.read_bytes() == before
    assert again.append(60, weights(60)) == ChainEntry.after("f" * 64, 60, weights(60)).digest
    assert chain.path.read_bytes().startswith(before)
    assert_broken(chain, 5, 60)


def test_digest_of_another_step(chain):
    before, entries = chain.path.read_bytes(), chain.entries()
    for step, entry in ((12, entries[1]), (5, entries[2]), (4, entries[1])):
        assert entry.digest[:16] in HashChain(chain.path, ORIGIN).rewind(step, entry.digest)
        assert chain.path.read_bytes() == before


def test_removed_chain(chain):
    digest = chain.digest
    chain.path.unlink()
    assert digest[:16] in HashChain(chain.path, ORIGIN).rewind(12, digest)
    assert not chain.path.exists()


def test_damaged_chain(chain):
    damaged = chain.path.read_bytes().replace(b'"step": 5', b'"step": 6')
    chain.path.write_bytes(damaged)
    found = HashChain(chain.path, ORIGIN).rewind(12, chain.digest)
    assert found.startswith(f"{chain.path}, line 2: ")
    assert chain.path.read_bytes() == damaged
    assert HashChain(chain.path, ORIGIN).rewind(0, None) == found
    assert chain.path.read_bytes() == b"", "a run that starts again gets a new chain"


@given(data=st.data())
def test_cut_last_line(tmp_path_factory, data):
    chain = chain_at(tmp_path_factory.mktemp("cut"))
    for step in STEPS:
        chain.append(step, weights(step))
    entries, last = chain.entries(), lines(chain)[-1]
    cut = data.draw(st.integers(1, len(last)))
    chain.path.write_bytes(chain.path.read_bytes()[:-cut])
    again = HashChain(chain.path, ORIGIN)
    assert again.entries() == entries[:-1]
    assert again.rewind(10, entries[2].digest) is None
    again.append(12, weights(12))
    assert again.entries() == entries


@given(index=st.integers(0, 3), data=st.data())
def test_changed_digit(tmp_path_factory, index, data):
    chain = chain_at(tmp_path_factory.mktemp("digit"))
    for step in STEPS:
        chain.append(step, weights(step))
    text = lines(chain)
    digits = [place for place, byte in enumerate(text[index]) if chr(byte) in "0123456789"]
    place = data.draw(st.sampled_from(digits))
    other = data.draw(st.sampled_from([byte for byte in b"0123456789" if byte != text[index][place]]))
    text[index] = text[index][:place] + bytes([other]) + text[index][place + 1 :]
    chain.path.write_bytes(b"".join(text))
    assert damage(chain).startswith(f"{index + 1}")


@pytest.mark.parametrize("index", range(len(STEPS) - 1))
def test_removed_doubled_swapped(chain, index):
    text = lines(chain)
    for changed, line, step in (
        (text[:index] + text[index + 1 :], index + 1, STEPS[index + 1]),
        (text[: index + 1] + text[index:], index + 2, STEPS[index]),
        ([*text[:index], text[index + 1], text[index], *text[index + 2 :]], index + 1, STEPS[index + 1]),
    ):
        chain.path.write_bytes(b"".join(changed))
        assert_broken(chain, line, step)


def test_removed_last_lines(chain):
    chain.path.write_bytes(b"".join(lines(chain)[:-1]))
    assert steps(chain) == STEPS[:-1]
    assert chain.digest[:16] in HashChain(chain.path, ORIGIN).rewind(12, chain.digest)


def test_chain_of_another_run(chain):
    other = HashChain(chain.path, {**ORIGIN, "dataset_sha256": "e" * 64})
    assert_broken(other, 1, 0)


@pytest.mark.parametrize("step", [11, 12])
def test_step_goes_back(chain, step):
    chain.append(step, weights(step))
    assert_broken(chain, 5, step)


@pytest.mark.parametrize(
    "line",
    [b"", b"\0", b"\xff", b"7", b"null", b"[]", b"{}", b"{", pytest.param(b"[" * 100_000, id="deep")]
    + [
        json.dumps({"step": 10, "weights_sha256": "a", "digest": "b", **other}).encode()
        for other in ({"step": "10"}, {"step": 10.0}, {"step": True}, {"weights_sha256": 1}, {"digest": None}, {"x": 1})
    ],
)
def test_line_that_is_no_entry(chain, line):
    text = lines(chain)
    chain.path.write_bytes(b"".join([*text[:2], line + b"\n", *text[2:]]))
    assert damage(chain).startswith("3 is damaged: ")
