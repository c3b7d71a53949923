"""Random numbers that are the same everywhere."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.numerics import BLOCKS, PROBE, ROWS, WEIGHTS, permutation, random_bits, uniform

SEEDS = st.integers(0, 2**64 - 1)


def test_simple():
    assert random_bits(1, WEIGHTS, 3).dtype == np.uint64
    assert random_bits(1, WEIGHTS, 3).tolist() == random_bits(1, WEIGHTS, 5).tolist()[:3]
    assert sorted(permutation(random_bits(1, ROWS, 5)).tolist()) == [0, 1, 2, 3, 4]


def test_recorded_bits():
    """They were recorded with NumPy 2.4.6. Other bits here would change the results of every run."""
    assert random_bits(3, WEIGHTS, 4, index=5, part=7).tolist() == [
        10430446390491875221,
        5262417583302574208,
        7340772703035153861,
        3560490187440802874,
    ]
    assert random_bits(2**64 - 1, ROWS, 2, index=2**32).tolist() == [4530281914477965694, 6294956008253098741]


def test_no_shared_numbers():
    """Draws with different arguments have no number in common."""
    cases = list(itertools.product((0, 1, 2**63), (WEIGHTS, BLOCKS, ROWS, PROBE), (0, 1, 2**31), (0, 1, 2**40)))
    streams = [random_bits(seed, purpose, 64, index=index, part=part) for seed, purpose, index, part in cases]
    assert np.unique(np.concatenate(streams)).size == 108 * 64


@given(seed=SEEDS, count=st.integers(0, 200), longer=st.integers(0, 50))
def test_prefix_of_a_longer_draw(seed, count, longer):
    assert random_bits(seed, ROWS, count + longer)[:count].tolist() == random_bits(seed, ROWS, count).tolist()


def test_global_random_state():
    """It has no effect."""
    before = random_bits(1, ROWS, 8).tolist()
    np.random.seed(1)
    assert random_bits(1, ROWS, 8).tolist() == before


@given(words=st.lists(SEEDS, min_size=1, max_size=20), low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_uniform_range(words, low, width):
    high = low + width
    found = uniform(np.array([0, 2**64 - 1, *words], np.uint64), low, high)
    assert found.min() == found[0] == low
    assert found.max() == found[1] <= high


def test_uniform_uses_53_bits():
    assert uniform(np.array([2**64 - 1, 2**11, 2**11 - 1], np.uint64), 0, 1).tolist() == [1 - 2**-53, 2**-53, 0]


@given(word=SEEDS, low=st.fractions(-9, 9, max_denominator=8), width=st.sampled_from([1, 3, 0.1]))
def test_uniform_rounding(word, low, width):
    """A difference, a product and a sum are rounded separately; no operations are fused."""
    low, high = float(low), float(low) + width
    assert uniform(np.array([word], np.uint64), low, high)[0] == low + (high - low) * ((word >> 11) * 2**-53)


def test_uniform_distribution():
    counts, _ = np.histogram(uniform(random_bits(7, WEIGHTS, 100_000), -2, 3), bins=10, range=(-2, 3))
    assert counts.sum() == 100_000
    assert abs(counts - 10_000).max() < 500


@given(st.lists(st.integers(0, 5), max_size=30))
def test_permutation_is_stable(words):
    order = permutation(np.array(words, np.uint64)).tolist()
    assert order == sorted(range(len(words)), key=lambda place: (words[place], place))
