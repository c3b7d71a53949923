"""JSON text that is damaged or hostile raises ValueError, and is never read wrongly."""

import json

import pytest
from msgspec import Struct

from ddmlp.runs.json_text import Amount, Count, Digest, Fraction, Positive, Real, Sha256, from_json, to_json


class Record(Struct, frozen=True):
    """One member of each kind."""

    count: Count = 0
    positive: Positive = 1
    real: Real = 0.0
    amount: Amount = 0.0
    fraction: Fraction = 0.0
    sha256: Sha256 = "a" * 64
    digest: Digest = ""
    text: str = ""
    counts: dict[Count, Positive] = {}
    texts: list[str] = []


GOOD = Record(2**53, 2**53, -1.5, 1e15, 1.0, "0" * 64, "f" * 64, "ä \U0001f600", {0: 1, 2**53: 2}, ["b"])


def test_simple():
    assert from_json(to_json(GOOD), Record) == from_json(to_json(GOOD).encode(), Record) == GOOD
    assert from_json('{"other": [1, {"a": null}]}', Record) == Record(), "members of a later version are ignored"


DAMAGED = {
    "count": ["-1", "true", "1.0", '"1"', "null", str(2**53 + 1), str(10**400), "1" * 5000, "1e400", "NaN"],
    "positive": ["0", "-1"],
    "real": ["NaN", "Infinity", "-Infinity", "1e16", "1e400", "-1e400", "1" * 400, "true"],
    "amount": ["-1e-9", "NaN", "1e16"],
    "fraction": ["1.0000001", "-0.1", "NaN"],
    "sha256": ['""', '"a"', f'"{"A" * 64}"', f'"{"a" * 64}\\n"', f'"{"a" * 63}\\ud800"', "5"],
    "digest": ['"a"', "null"],
    "text": [r'"\ud800"', r'"\udc80"', r'"\ud83d\ud83d"', r'["\ude00"]', '"\n"', "[]"],
    "counts": ['{"-1": 1}', '{"1": 0}', '{"1": 1, "1": 1}', '{"x": 1}', '{"01": 1}', f'{{"{10**400}": 1}}', "[]"],
    "texts": [r'["a", "\ud800"]', '[{"a": 1}]', "[[]]"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in DAMAGED.items() for value in values])
def test_bad_member(name: str, value: str):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        from_json(f'{{"{name}": {value}}}', Record)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\0", b"{}x", b"{} {}", b'{"a": 1,}', b"\xef\xbb\xbf{}", b'{"text": "\xff"}', b'{"text": "\xed\xa0\x80"}',
        "{}".encode("utf-16"), "{}".encode("utf-32"), b"[" * 100_000, b'{"a":' * 100_000, b'{"count": 1, "count": 1}',
        b'{"other": {"a": 1, "a": 2}}', b'{"other": 1e400}', b'{"other": "\\ud800"}', b'{"\\ud800": 1}',
    ],
)  # fmt: skip
def test_bad_text(text: bytes):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        from_json(text, Record)


def test_file_names():
    """File names may hold bytes that are not UTF-8."""
    name = b"/data/\xe9t\xe9".decode(errors="surrogateescape")
    assert from_json(json.dumps({"text": name}), Record, file_names=True).text == name
    with pytest.raises(ValueError, match="not UTF-8"):
        from_json(json.dumps({"text": name}), Record)
    with pytest.raises(ValueError, match="not UTF-8"):
        from_json(r'{"text": "\ud800"}', Record, file_names=True)


def test_surrogate_pairs():
    """A pair of surrogates is one character, as programs write it that write JSON in ASCII."""
    assert from_json(r'{"text": "\ud83d\ude00 \\ud800"}', Record).text == "\U0001f600 \\ud800"
