"""Floating-point modes of this thread's processor, as a library might set them."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

WORDS = 8  # at least the size of glibc's fenv_t on any processor
# The word to change, and its bits: x86-64's MXCSR (Intel's manual, volume 1, section 10.2.3) and Arm's FPCR.
MODES = {
    "x86_64": (7, {"flush": 0x8000, "denormals are zero": 0x40, "both": 0x8040, "down": 0x2000, "toward zero": 0x6000}),
    "aarch64": (0, {"flush": 1 << 24, "down": 2 << 22, "toward zero": 3 << 22}),
}
NAMES = list(MODES["x86_64"][1])


@contextmanager
def computing(mode: str) -> Iterator[None]:
    """Set a mode of NAMES for this thread in the block. Skips the test if the mode or glibc is not available."""
    word, modes = MODES.get(platform.machine(), (0, {}))
    if mode not in modes or platform.libc_ver()[0] != "glibc":
        pytest.skip(f"cannot set the mode {mode!r} on {platform.platform()}")
    libm = ctypes.CDLL("libm.so.6")
    before = (ctypes.c_uint32 * WORDS)()
    assert libm.fegetenv(before) == 0
    changed = (ctypes.c_uint32 * WORDS)(*before)
    changed[word] |= modes[mode]
    assert libm.fesetenv(changed) == 0
    try:
        yield
    finally:
        libm.fesetenv(before)
