"""The row audit: any order in any parts passes; a missing, repeated or foreign row is detected."""

import json
import math
import re

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.errors import TrainingError
from ddmlp.plan.row_audit import AuditState, RowAudit, all_rows
from ddmlp.plan.row_stats import RowStats, row_hash_sum

orders = st.integers(1, 200).flatmap(lambda count: st.permutations(range(count)))


def rows(*numbers):
    return np.array(numbers, np.intp)


def stats_of(numbers):
    return RowStats(len(numbers), row_hash_sum(rows(*numbers)), 0.0, 0, 1.0)


def audit_of(*parts):
    audit = RowAudit()
    for part in parts:
        audit.record_step(stats_of(part))
    return audit


def message_of(numbers, due):
    with pytest.raises(TrainingError) as caught:
        audit_of(numbers).verify("epoch 3", all_rows(0, due))
    return str(caught.value)


def test_simple():
    audit = audit_of([3, 0], [2], [1])
    audit.verify("epoch 1", all_rows(0, 4))
    assert message_of([3, 0, 1], 4).startswith("epoch 3: 3 rows were applied, expected 4; ")
    sums = [row_hash_sum(rows(3, 0, 2, last)) for last in (2, 1)]
    assert re.search(r"^epoch 3: 4 rows .*{:016x}, expected {:016x}\)".format(*sums), message_of([3, 0, 2, 2], 4))


@given(orders, st.data())
def test_any_order_any_parts(order, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=5)))
    parts = [order[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    audit_of(*parts).verify("epoch 1", all_rows(0, len(order)))
    added = RowStats(0, 0, 0.0, 0, 1.0)
    for part in reversed(parts):
        added = stats_of(part).plus(added)
    assert added == stats_of(order)


@given(orders, st.data())
def test_missing_row(order, data):
    missing = data.draw(st.sampled_from(order))
    rest = [row for row in order if row != missing]
    found = message_of(rest, len(order))
    assert found.startswith(f"epoch 3: {len(rest)} rows were applied, expected {len(order)};")


@given(orders, st.data())
def test_repeated_row(order, data):
    found = message_of([*order, data.draw(st.sampled_from(order))], len(order))
    assert f": {len(order) + 1} rows were applied, expected {len(order)};" in found


@given(orders, st.data())
def test_foreign_row(order, data):
    place, foreign = data.draw(st.integers(0, len(order) - 1)), data.draw(st.integers(0, 300))
    applied = [*order[:place], foreign, *order[place + 1 :]]
    if foreign == order[place]:
        audit_of(applied).verify("epoch 3", all_rows(0, len(order)))
    else:
        sums = [f"{row_hash_sum(rows(*numbers)):016x}" for numbers in (applied, order)]
        assert f" {sums[0]}, expected {sums[1]})" in message_of(applied, len(order))


@given(st.integers(5, 200), st.data())
def test_two_foreign_rows(count, data):
    """They are detected even if the number of rows and the sum of their numbers are right."""
    low = data.draw(st.integers(0, count - 3))
    high = data.draw(st.integers(low + 2, count - 1))
    gap = data.draw(st.integers(1, (high - low) // 2))
    applied = list(range(count))
    applied[low], applied[high] = low + gap, high - gap
    assert sum(applied) == sum(range(count))
    assert f"{row_hash_sum(np.array(applied)):016x}, expected " in message_of(applied, count)


@given(st.integers(0, 2**63 - 2))
@example(0)
@example(2**63 - 2)
def test_fingerprint(row):
    """Multiply and fold, twice."""
    mixed = (row + 1) * 0x9E3779B97F4A7C15 % 2**64
    mixed = (mixed ^ (mixed >> 32)) * 0xBF58476D1CE4E5B9 % 2**64
    expected = mixed ^ (mixed >> 32)
    assert row_hash_sum(rows(row)) == expected
    assert row_hash_sum(rows(row, row)) == 2 * expected % 2**64


@pytest.mark.parametrize("one", [8_269, 1_035, 23_921])
def test_two_swaps(one):
    """They would cancel out if the fingerprint ended with the multiplication."""
    other = {8_269: 20_281, 1_035: 16_965, 23_921: 35_476}[one]
    swapped = np.arange(60_000)
    for gap in range(1, 4):
        swapped[one], swapped[other] = one + gap, other - gap
        assert row_hash_sum(swapped) != row_hash_sum(np.arange(60_000))


def test_plus():
    """The sums, and the steepest slope, of both."""
    one, two = RowStats(2, 2**64 - 1, 0.1, 1, 0.5), RowStats(3, 5, 0.2, 2, math.inf)
    assert one.plus(two) == two.plus(one) == RowStats(5, 4, 0.1 + 0.2, 3, math.inf)
    assert math.isnan(one.plus(two._replace(error=math.nan)).error)
    steep = one._replace(steepest=math.nan)
    assert [math.isnan(sums.steepest) for sums in (two.plus(steep), steep.plus(two))] == [True, True]


def test_part_of_an_epoch():
    audit = audit_of([7, 5], [9])
    audit.verify("up to step 2", iter([rows(9, 7), rows(5)]))
    with pytest.raises(TrainingError, match=rf"up to step 2: 3 rows .* expected {row_hash_sum(rows(9, 7, 6)):016x}\)"):
        audit.verify("up to step 2", [rows(9, 7), rows(6)])
    with pytest.raises(TrainingError, match=r"expected 2;"):
        audit.verify("up to step 2", [rows(9, 7)])


def test_nothing_is_due():
    RowAudit().verify("epoch 1, up to step 0", [])
    with pytest.raises(TrainingError, match=r"0 rows were applied, expected 1;"):
        RowAudit().verify("epoch 1", all_rows(0, 1))


@pytest.mark.parametrize("count", [0, 1, 2**16 - 1, 2**16, 2**16 + 1, 150_000])
def test_all_rows(count):
    """They come in order, in parts of at most 2^16."""
    parts = list(all_rows(0, count))
    assert [row for part in parts for row in part.tolist()] == list(range(count))
    assert all(0 < len(part) <= 2**16 for part in parts)


@given(st.integers(0, 2**53), st.integers(0, 2**64 - 1))
def test_state_round_trip(count, sums):
    state = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(RowAudit(count, sums).state))), AuditState)
    found = RowAudit.from_state(state)
    assert (found.rows, found.fingerprints) == (count, sums)


def test_from_state():
    found = RowAudit.from_state(audit_of([4, 1]).state)
    found.record_step(stats_of([0, 3, 2]))
    found.verify("epoch 1", all_rows(0, 5))


@pytest.mark.parametrize(
    "state", [{}, None, [], {"rows": 1}, {"rows": "x", "fingerprints": "0" * 16}, {"rows": 1, "fingerprints": "0"}]
    + [{"rows": 1, "fingerprints": other} for other in (5, None, "xyz", "0" * 15 + "x")],
)  # fmt: skip
def test_invalid_state(state):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(state, AuditState)
