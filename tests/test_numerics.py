"""What the bits rest on: one BLAS thread, the fingerprint of the arithmetic, and the random numbers."""

import itertools
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from ddmlp import numerics
from ddmlp.numerics import (
    BLOCKS,
    ROWS,
    WEIGHTS,
    arithmetic_fingerprint,
    libraries,
    permutation,
    pin,
    random_bits,
    uniform,
    versions,
)

SEEDS = st.integers(0, 2**64 - 1)
BLAS = "[(lib['num_threads'], lib.get('architecture')) for lib in threadpool_info() if lib['user_api'] == 'blas']"


def elsewhere(code, **environment):
    """What `code` prints as JSON in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def fingerprint_elsewhere(**environment):
    code = f"from ddmlp.numerics import *; import json; print(json.dumps([arithmetic_fingerprint(), {BLAS}]))"
    return elsewhere(code, **environment)


def test_simple():
    assert random_bits(1, WEIGHTS, 3).dtype == np.uint64
    assert random_bits(1, WEIGHTS, 3).tolist() == random_bits(1, WEIGHTS, 5).tolist()[:3]
    assert sorted(permutation(random_bits(1, ROWS, 5)).tolist()) == [0, 1, 2, 3, 4]


def test_pin_holds_blas_at_one_thread():
    pin()
    assert {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"} == {1}


@pytest.mark.parametrize("first", ["", "import numpy; numpy.ones((9, 9)) @ numpy.ones((9, 9))"])
def test_pin_holds_always(first):
    code = f"""{first}
from threadpoolctl import threadpool_info
import json
import numpy
before = {BLAS}
from ddmlp.numerics import pin
pin()
numpy.ones((300, 300)) @ numpy.ones((300, 300))
print(json.dumps([before, {BLAS}]))"""
    before, after = elsewhere(code, OPENBLAS_NUM_THREADS="2", OMP_NUM_THREADS="2")
    if {threads for threads, _ in before} == {1}:
        pytest.skip("BLAS has no second thread here")
    assert {threads for threads, _ in after} == {1}


def test_the_fingerprint_tells_revisions_of_the_code_apart(monkeypatch):
    ours = arithmetic_fingerprint()
    monkeypatch.setattr(numerics, "REVISION", numerics.REVISION + 1)
    assert arithmetic_fingerprint.__wrapped__() != ours


def test_the_fingerprint_is_the_same_in_another_process():
    found, threads = fingerprint_elsewhere(OPENBLAS_NUM_THREADS="2")
    assert found == arithmetic_fingerprint()
    assert {count for count, _ in threads} == {1}
    assert len(found) == 64


@pytest.mark.parametrize("kernels", ["Nehalem", "Haswell"])
def test_the_fingerprint_tells_blas_kernels_apart(kernels):
    mine = {lib.get("architecture") for lib in threadpool_info() if lib["internal_api"] == "openblas"}
    if not mine or platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this NumPy has no OpenBLAS for x86, whose kernels can be chosen")
    if kernels in mine:
        pytest.skip(f"{kernels} is what this machine has anyway")
    found, blas = fingerprint_elsewhere(OPENBLAS_CORETYPE=kernels)
    if kernels not in {architecture for _, architecture in blas}:
        pytest.skip(f"this machine cannot run OpenBLAS's kernels for {kernels}")
    assert found != arithmetic_fingerprint()


def test_libraries_name_what_computed():
    found = libraries()
    assert found["numpy"] == np.__version__
    assert found["arithmetic"] == arithmetic_fingerprint()[:16]
    assert all(lib["version"] in found["blas"] for lib in threadpool_info() if lib["user_api"] == "blas")


def test_versions_without_ray(monkeypatch):
    known = set(versions())
    monkeypatch.setattr(numerics, "find_spec", lambda name: None if name == "ray" else True)
    assert known - set(versions.__wrapped__()) == {"ray"}


def test_libraries_that_compute_nothing_are_not_named(monkeypatch):
    """PyTorch brings OpenMP into the process, and comes with whatever imports it."""
    more = {"user_api": "openmp", "internal_api": "openmp", "version": None}
    monkeypatch.setattr("ddmlp.numerics.threadpool_info", lambda: [*threadpool_info(), more])
    assert libraries.__wrapped__() == libraries()


def test_random_bits_are_the_recorded_ones():
    """Recorded with NumPy 2.4.6: other bits here are other results everywhere."""
    assert random_bits(3, WEIGHTS, 4, index=5, part=7).tolist() == [
        10430446390491875221,
        5262417583302574208,
        7340772703035153861,
        3560490187440802874,
    ]
    assert random_bits(2**64 - 1, ROWS, 2, index=2**32).tolist() == [4530281914477965694, 6294956008253098741]


def test_no_two_draws_share_a_number():
    cases = list(itertools.product((0, 1, 2**63), (WEIGHTS, BLOCKS, ROWS), (0, 1, 2**31), (0, 1, 2**40)))
    streams = [random_bits(seed, purpose, 64, index=index, part=part) for seed, purpose, index, part in cases]
    assert np.unique(np.concatenate(streams)).size == 81 * 64


@given(seed=SEEDS, count=st.integers(0, 200), longer=st.integers(0, 50))
def test_fewer_random_bits_are_the_beginning_of_more(seed, count, longer):
    assert random_bits(seed, ROWS, count + longer)[:count].tolist() == random_bits(seed, ROWS, count).tolist()


def test_global_random_state_plays_no_part():
    before = random_bits(1, ROWS, 8).tolist()
    np.random.seed(1)
    assert random_bits(1, ROWS, 8).tolist() == before


@given(words=st.lists(SEEDS, min_size=1, max_size=20), low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_uniform_numbers_lie_in_their_range(words, low, width):
    high = low + width
    found = uniform(np.array([0, 2**64 - 1, *words], np.uint64), low, high)
    assert found.min() == found[0] == low
    assert found.max() == found[1] <= high


def test_uniform_numbers_below_one_use_all_53_bits():
    assert uniform(np.array([2**64 - 1, 2**11, 2**11 - 1], np.uint64), 0, 1).tolist() == [1 - 2**-53, 2**-53, 0]


def test_uniform_numbers_are_spread_evenly():
    counts, _ = np.histogram(uniform(random_bits(7, WEIGHTS, 100_000), -2, 3), bins=10, range=(-2, 3))
    assert counts.sum() == 100_000
    assert abs(counts - 10_000).max() < 500


@given(st.lists(st.integers(0, 5), max_size=30))
def test_permutation_is_stable(words):
    order = permutation(np.array(words, np.uint64)).tolist()
    assert order == sorted(range(len(words)), key=lambda place: (words[place], place))
