"""Functions that Numba compiles to machine code: once for an installation and a processor, then from a cache on disk.

A kernel is what Python calls; inlined functions are what kernels are made of:

    @inlined
    def square(x): ...

    @kernel("float32[:, ::1]", "int64", record(Pair, "float32[::1]", "float32[::1]"))
    def scale(x, n, pair): ...

What a kernel is compiled from, its globals too, comes from the folder of its file and from nowhere else, because the
cache knows the kernel by the contents of that folder.
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

# Each operation rounds as IEEE 754 says: a * b + c stays two of them, and a division by zero is infinite or NaN.
OPTIONS = {"nopython": True, "error_model": "numpy", "fastmath": False, "no_cfunc_wrapper": True}
# Their last bits differ from library to library, and with SVML, which Numba takes where Intel's icc_rt is installed,
# from one vector width to another. SVML has nothing else that a kernel may call.
INEXACT = re.compile(
    r"^declare .*@(?:llvm\.|numba_|npy_)?(a?(?:sin|cos|tan)h?|sincos|exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|"
    r"powi|cbrt|hypot|atan2|erf|erfc|gamma|lgamma|tgamma)[fl]?(?:\.[\w.]+)?\(",
    re.MULTILINE,
)

F = TypeVar("F", bound=Callable[..., Any])


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


announce: Callable[[str], object] = _tell  # to be replaced where standard error is not the user's


def inlined(function: F) -> F:
    """A function that is compiled into each kernel that calls it, for whatever types it is called with there."""
    dispatcher: F = Inlined(function, targetoptions=OPTIONS | {"forceinline": True, "no_cpython_wrapper": True})
    return dispatcher


def kernel(*parameters: Any) -> Callable[[F], F]:
    """A decorator: the function, compiled for these types of its parameters and no others, when it is first called.

    parameters: Numba's types, or their names as Numba's signatures have them; `record` makes that of a NamedTuple.
    Called with something else the kernel raises TypeError. What is converted without a loss passes: a float for an
    integer does not, an array for a read-only one does. It releases Python's lock while it runs.

    Raises TypeError for a function that is no function of a module, or that has another number of parameters.
    """

    def decorate(function: F) -> F:
        compiled: F = Kernel(function, _types(parameters))
        return compiled

    return decorate


def record(of: type, *fields: Any) -> Any:
    """Numba's type of a NamedTuple, for a kernel's parameter: the class, and the types of its fields in their order."""
    return types.BaseTuple.from_types(_types(fields), of)


def processor() -> str:
    """The processor that kernels are compiled for, by LLVM's name."""
    return str(cpu_target.target_context.codegen().magic_tuple()[1])


def _types(given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(normalize_signature(f"({each},)")[0][0] if isinstance(each, str) else each for each in given)


class Inlined(CPUDispatcher):  # type: ignore[misc]
    """A function that kernels are made of. It has no code for Python to call: Numba would jump to address 0."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"{self.__name__} is inlined: only a kernel can call it")


class Kernel(CPUDispatcher):  # type: ignore[misc]
    """A function, compiled for one tuple of types; see `kernel`."""

    def __init__(self, function: Callable[..., Any], parameters: tuple[Any, ...]) -> None:
        name, count = function.__qualname__, function.__code__.co_argcount
        if "." in name:
            raise TypeError(f"{name}: a kernel must be a function of a module, or others could have its name")
        if len(parameters) != count:
            raise TypeError(f"{name}: types for {len(parameters)} parameters, and it has {count}")
        super().__init__(function, targetoptions=OPTIONS | {"nogil": True})
        self._parameters = parameters
        self._accepted = {parameters}
        self._cache = CodeFile(function)

    def compile(self, _: Any) -> Any:
        """Compile for the types that were declared, whatever those of a call are."""
        return super().compile(self._parameters)

    def _compile_for_args(self, *args: Any) -> Any:
        """What Numba calls when the types of a call are new to it: gives it what to call."""
        found = tuple(map(self.typeof_pyval, args))
        for number, (given, expected) in enumerate(zip(found, self._parameters, strict=True), 1):
            conversion = self.typingctx.can_convert(given, expected)
            if conversion is None or conversion > Conversion.safe:
                raise TypeError(f"{self.__name__}: argument {number} is {given}, expected {expected}")
        compiled = self.compile(found)
        if found not in self._accepted:  # the next call is not to come here, as it would too if they were there twice
            self._accepted.add(found)
            self._insert([each._code for each in found], compiled, False)
        return compiled


class CodeFile(NullCache):  # type: ignore[misc]
    """What Numba takes for its cache of a kernel; it knows the kernel by all of its sources, not by one file."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._sources = Path(function.__code__.co_filename).parent
        self._name = f"{function.__module__}.{function.__qualname__}-{function.__code__.co_firstlineno}"

    def _path(self, codegen: Any) -> Path:
        """Where the code is. Raises OSError where there is no cache."""
        versions = numba.__version__, llvmlite.__version__, np.__version__, sys.version
        settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
        processor = codegen.magic_tuple()
        return code_cache.path(self._sources, self._name, versions, settings, processor)

    def load_overload(self, _: Any, context: Any) -> Any:
        """The code from the file; None where there is none that can be used, and then the user is told."""
        rtsys.initialize(context)  # Numba does so before it compiles; loaded code crashes without it
        with suppress(Exception):  # whatever it is, compiling the kernel mends it
            code = code_cache.read(self._path(context.codegen()))
            return CompileResult._rebuild(context, *pickle.loads(code))
        _say_so()
        return None

    def save_overload(self, _: Any, compiled: Any) -> None:
        """Write code that was just compiled; nothing where that is impossible, on a full disk, say."""
        if called := INEXACT.findall(compiled.library.get_llvm_str()):
            raise TypeError(f"{self._name} calls {', '.join(called)}, whose bits are not the same everywhere")
        if compiled.library.has_dynamic_globals:
            raise TypeError(f"{self._name} has a global array that is too large to be compiled in")
        with suppress(OSError):
            code_cache.write(self._path(compiled.codegen), dumps(compiled._reduce()))


@cache
def _say_so() -> None:
    announce("compiling the kernels, once")
