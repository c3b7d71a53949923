"""Compiled kernels: their types, their sources, and when they are compiled."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ddmlp.nn import compiled
from tests.support.kernels import EYE, SOURCES, TOTAL, Kernels, X

ROOT = Path(__file__).parents[2]
ONE = "from ddmlp.nn.compiled import kernel\nimport numpy as np\n\n@kernel('float32')\ndef total(x):\n    return "


def test_simple(package: Kernels):
    kernels = package.load()
    assert (kernels.total.signatures, package.cache.exists()) == ([], False), "an import compiles nothing"
    assert kernels.total(X, 5) == TOTAL
    assert kernels.mixed(kernels.Pair(X, EYE), X, 0.5) == 2
    assert package.announced == ["compiling the kernels, once"]
    assert [path.name.partition("-")[0] for path in package.code()] == ["kernels.mixed", "kernels.total"]
    before = [path.stat().st_mtime_ns for path in package.code()]
    kernels = package.load()
    assert kernels.total(X, 5) == TOTAL
    assert kernels.mixed(kernels.Pair(X, EYE), X, 0.5) == 2
    assert package.announced == []
    assert [path.stat().st_mtime_ns for path in package.code()] == before


def test_loaded_code_raises(package: Kernels):
    for _ in range(2):
        with pytest.raises(ValueError, match="too many"):
            package.load().total(X, 6)


@pytest.mark.parametrize(
    "arguments",
    [
        (X.astype(np.float64), 5),
        (X.astype(np.int32), 5),
        (X.astype(">f4"), 5),
        (X[::2], 3),
        (X.reshape(1, 5), 1),
        (X, 2.5),
        (X, "5"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_other_types(arguments, first, package: Kernels):
    total = package.load().total
    if not first:
        total(X, 5)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"total: argument [12] .* expected (array\(float32, 1d, C\)|int64)"):
            total(*arguments)
    assert total(X, 5) == TOTAL
    assert len(total.signatures) == 1


def test_types_without_loss(package: Kernels, monkeypatch: pytest.MonkeyPatch):
    kernels = package.load()
    mixed, pair = kernels.mixed, kernels.Pair(X, EYE)
    frozen = X.copy()
    frozen.flags.writeable = False
    calls = [(pair, x, rate) for x in (frozen, X) for rate in (0.5, 1, np.float32(2))]
    for call in 2 * calls:
        assert mixed(*call) == 1 + 2 * call[2]
    with monkeypatch.context() as patch:
        patch.setattr(mixed, "_compile_for_args", None)  # it is slow, and must only be called for new types
        for call in calls:
            assert mixed(*call) == 1 + 2 * call[2]
    with pytest.raises(TypeError, match="readonly"):
        kernels.total(frozen, 5)
    assert len(mixed.signatures) == 1


def test_not_at_module_level():
    with pytest.raises(TypeError, match="of a module"):
        compiled.kernel("int64")(lambda x: x)


def test_number_of_types():
    with pytest.raises(TypeError, match="2 parameters"):
        compiled.kernel("int64", "int64")(lonely)


def lonely(x):
    return x


def test_inlined(package: Kernels):
    """Python cannot call it, neither before nor after it was compiled into a kernel."""
    kernels = package.load()
    for _ in range(2):
        with pytest.raises(TypeError, match="weighted is inlined"):
            kernels.weighted(1)
        assert kernels.total(X, 5) == TOTAL


def test_lock_is_released():
    assert compiled.kernel("int64")(lonely).targetoptions["nogil"] is True


@pytest.mark.parametrize("function", ["np.exp(x)", "np.log1p(x)", "x ** 0.3", "np.tanh(x)", "np.sin(x)"])
def test_inexact_function(function, package: Kernels):
    package.write(kernels=ONE + function)
    with pytest.raises(TypeError, match=r"kernels\.total.* calls (exp|log1p|pow|tanh|sin)"):
        package.load().total(np.float32(2))
    assert package.code() == []


def test_exact_functions(package: Kernels):
    package.write(kernels=ONE + "np.sqrt(x) + abs(x) + np.floor(x) + x ** 2 + x % 3")
    assert package.load().total(np.float32(4)) == 2 + 4 + 4 + 16 + 1
    assert len(package.code()) == 1


def test_inner_function_changes(package: Kernels):
    """Numba's own cache considers only the kernel's file, and would keep using the old function."""
    assert package.load().total(X, 5) == TOTAL
    package.write(inner=SOURCES["inner"].replace("x * 2", "x * 3"))
    assert package.load().total(X, 5) == TOTAL * 1.5
    assert package.announced
    package.write(inner=SOURCES["inner"])
    assert package.load().total(X, 5) == TOTAL
    assert package.announced == [], "the code of the first sources is still cached"


def test_changed_after_import(package: Kernels):
    """The imported sources are compiled; the code must not be cached as that of the files on disk now."""
    kernels = package.load()
    os.utime(package.sources / "inner.py")
    assert kernels.total(X, 5) == TOTAL
    assert package.code() == []


@pytest.mark.parametrize("module", ["numba", "llvmlite", "np"])
def test_version_changes(module, package: Kernels, monkeypatch: pytest.MonkeyPatch):
    package.load().total(X, 5)
    monkeypatch.setattr(getattr(compiled, module), "__version__", "another")
    assert package.load().total(X, 5) == TOTAL
    assert package.announced
    assert len(package.code()) == 2


def test_many_threads(package: Kernels):
    total = package.load().total
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: total(X, 5), range(8))) == [TOTAL] * 8
    assert len(total.signatures) == len(package.code()) == 1


def start(package: Kernels, **variables: str) -> subprocess.Popen[str]:
    script = """if True:
        import kernels
        import numpy as np
        x = np.arange(5, dtype=np.float32)
        input()
        print(kernels.total(x, 5), kernels.mixed(kernels.Pair(x, np.eye(2, dtype=np.uint8)), x, 2.0))
        try:
            kernels.total(x, 6)
        except ValueError as error:
            print(error)
    """
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{package.sources}"} | variables,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


@pytest.mark.slow
def test_processes(package: Kernels):
    """Three processes compile at once, one finds their code, and one compiles for another processor."""
    together = [start(package) for _ in range(3)]
    printed = []
    for group in (together, [start(package)], [start(package, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")]):
        for process in group:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in group:
            out, err = process.communicate(timeout=60)
            assert (out, process.returncode) == ("20.0 5.0\ntoo many\n", 0), err
            printed.append(err)
    line = "compiling the kernels, once\n"
    assert printed[3:] == ["", line]
    assert line in printed[:3]
    assert set(printed) == {"", line}
    assert len(list(package.store.iterdir())) == 2


def test_in_two_folders():
    """Everything that kernels are made of must be in the folder of their file."""
    texts = {path: path.read_text() for path in (ROOT / "ddmlp").rglob("*.py")}
    users = {path.parent for path, text in texts.items() if "@kernel(" in text or "@inlined" in text}
    assert users == {ROOT / "ddmlp" / "nn", ROOT / "ddmlp" / "runs"}
    others = [text for path, text in texts.items() if path.parent.name == "runs" and "@kernel(" in text]
    assert [re.findall(r"from ddmlp[\w.]* import .*", text) for text in others] == [
        ["from ddmlp.nn.compiled import inlined, kernel", "from ddmlp.runs.trace_template import Template"]
    ], "what these are made of"
