"""Compile functions to machine code with Numba: once per installation and processor, then from a cache on disk.

Python calls kernels; kernels are made of inlined functions:

    @inlined
    def square(x): ...

    @kernel("float32[:, ::1]", "int64", record(Pair, "float32[::1]", "float32[::1]"))
    def scale(x, n, pair): ...

Everything that a kernel is compiled from, including its globals, must come from the folder of its file, because the
cache identifies a kernel by the contents of that folder.
"""

import os
import pickle
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
import numpy as np
from numba import types
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature
from numba.core.typeconv import Conversion

from ddmlp.nn import code_cache

# Each operation rounds as IEEE 754 says: a * b + c stays two operations, and a division by zero gives infinity or NaN.
OPTIONS = {"nopython": True, "error_model": "numpy", "fastmath": False, "no_cfunc_wrapper": True}
# The last bits of these functions differ between libraries and, with SVML, between vector widths (Numba uses SVML if
# Intel's icc_rt is installed). A kernel can call nothing else in SVML.
INEXACT = re.compile(
    r"^declare .*@(?:llvm\.|numba_|npy_)?(a?(?:sin|cos|tan)h?|sincos|exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|"
    r"powi|cbrt|hypot|atan2|erf|erfc|gamma|lgamma|tgamma)[fl]?(?:\.[\w.]+)?\(",
    re.MULTILINE,
)

F = TypeVar("F", bound=Callable[..., Any])


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


announce: Callable[[str], object] = _print_line  # replace it if the user does not see standard error


def inlined(function: F) -> F:
    """Decorate a function that is compiled into each kernel that calls it, for the types of that call."""
    dispatcher: F = Inlined(function, targetoptions=OPTIONS | {"forceinline": True, "no_cpython_wrapper": True})
    return dispatcher


def kernel(*parameters: Any) -> Callable[[F], F]:
    """Return a decorator that compiles a function, at its first call, for these types of its parameters only.

    The kernel accepts arguments that convert to these types without loss: an array for a read-only one, but not a
    float for an integer. It raises TypeError for all others. It releases the global interpreter lock while it runs.

    Parameters
    ----------
    *parameters : Numba type or str
        The type of each parameter, or its name as in a Numba signature; `record` makes the type of a NamedTuple.

    Raises
    ------
    TypeError
        By the decorator, if the function is not defined at module level or has another number of parameters.
    """

    def decorate(function: F) -> F:
        compiled: F = Kernel(function, _types(parameters))
        return compiled

    return decorate


def record(of: type, *fields: Any) -> Any:
    """Numba's type of the NamedTuple `of`, as a kernel's parameter; fields: the types of its fields, in order."""
    return types.BaseTuple.from_types(_types(fields), of)


def processor() -> str:
    """LLVM's name of the processor that kernels are compiled for."""
    return str(cpu_target.target_context.codegen().magic_tuple()[1])


def _types(given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(normalize_signature(f"({each},)")[0][0] if isinstance(each, str) else each for each in given)


class Inlined(CPUDispatcher):  # type: ignore[misc]
    """A function that kernels are made of. It has no code that Python could call: Numba would jump to address 0."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"{self.__name__} is inlined: only a kernel can call it")


class Kernel(CPUDispatcher):  # type: ignore[misc]
    """A function, compiled for one tuple of types; see `kernel`."""

    def __init__(self, function: Callable[..., Any], parameters: tuple[Any, ...]) -> None:
        name, count = function.__qualname__, function.__code__.co_argcount
        if "." in name:
            raise TypeError(f"{name}: a kernel must be a function of a module, so that its name is unique")
        if len(parameters) != count:
            raise TypeError(f"{name}: types are given for {len(parameters)} parameters, but it has {count}")
        super().__init__(function, targetoptions=OPTIONS | {"nogil": True})
        self._parameters = parameters
        self._accepted = {parameters}
        self._cache = CodeFile(function)

    def compile(self, _: Any) -> Any:
        """Compile for the declared types, whatever the types of the call are."""
        return super().compile(self._parameters)

    def _compile_for_args(self, *args: Any) -> Any:
        """Return the code for a call whose argument types are new. Numba calls this."""
        found = tuple(map(self.typeof_pyval, args))
        for number, (given, expected) in enumerate(zip(found, self._parameters, strict=True), 1):
            conversion = self.typingctx.can_convert(given, expected)
            if conversion is None or conversion > Conversion.safe:
                raise TypeError(f"{self.__name__}: argument {number} is {given}, expected {expected}")
        compiled = self.compile(found)
        if found not in self._accepted:  # so that Numba dispatches the next call itself; a duplicate would defeat that
            self._accepted.add(found)
            self._insert([each._code for each in found], compiled, False)
        return compiled


class CodeFile(NullCache):  # type: ignore[misc]
    """The cache of one kernel, as Numba expects it. Its key covers all source files of the kernel, not only its own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._sources = Path(function.__code__.co_filename).parent
        self._name = f"{function.__module__}.{function.__qualname__}-{function.__code__.co_firstlineno}"

    def _path(self, codegen: Any) -> Path:
        """The path of the code. Raises OSError if no folder can serve as the cache."""
        versions = numba.__version__, llvmlite.__version__, np.__version__, sys.version
        settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
        processor = codegen.magic_tuple()
        return code_cache.path(self._sources, self._name, versions, settings, processor)

    def load_overload(self, _: Any, context: Any) -> Any:
        """Load the code from its file. Returns None, and announces the compilation, if there is no usable file."""
        rtsys.initialize(context)  # Numba does so before it compiles; loaded code crashes without it
        with suppress(Exception):  # whatever is wrong, compiling the kernel repairs it
            code = code_cache.read(self._path(context.codegen()))
            return CompileResult._rebuild(context, *pickle.loads(code))
        _announce_once()
        return None

    def save_overload(self, _: Any, compiled: Any) -> None:
        """Store newly compiled code. If that fails, for example because the disk is full, the code is not cached.

        Raises TypeError if the kernel depends on something whose bits differ between machines.
        """
        if called := INEXACT.findall(compiled.library.get_llvm_str()):
            raise TypeError(f"{self._name} calls {', '.join(called)}, whose bits differ from machine to machine")
        if compiled.library.has_dynamic_globals:
            raise TypeError(f"{self._name} uses a global array that is too large to be compiled in")
        with suppress(OSError):
            code_cache.write(self._path(compiled.codegen), dumps(compiled._reduce()))


@cache
def _announce_once() -> None:
    announce("compiling the kernels, once")
