"""A transform: a function of a user that changes the pixels of rows before they are trained on, as its source text."""

import builtins
import dis
import hashlib
import inspect
import linecache
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ddmlp.errors import ConfigError, reason_of

EXPECTED = "expected a function f(pixels, rows, seed, epoch), or its place: MODULE:FUNCTION or FILE.py:FUNCTION"
LONGEST = 500


@dataclass(frozen=True)
class Transform:
    """A function `f(pixels, rows, seed, epoch)`, as the text that defines it.

    Every process executes this text, so all have the same function, and its hash covers whatever it calls in the text.

    Parameters
    ----------
    name : str
        MODULE:FUNCTION or FILE.py:FUNCTION, by which it is found again; or only FUNCTION, if it is in neither.
    text : str
        The source: the whole file, or imports and the function if it is not in a file that can be imported.
    file : Path, optional
        The file.
    answer : str
        The SHA-256 of what it makes of a row, where the run was begun; "" if that is not known. See `PixelStage`.

    Examples
    --------
    >>> Path("negative.py").write_text("def invert(pixels, rows, seed, epoch):\\n    return 255 - pixels\\n")
    63
    >>> found = Transform.of("negative.py:invert")
    >>> found.load()(7, None, 0, 0), found.sha256[:8]
    (248, '1f89f5eb')
    """

    name: str
    text: str
    file: Path | None = None
    answer: str = ""

    @property
    def function(self) -> str:
        """The function's name in the text."""
        return self.name.rpartition(":")[2]

    @property
    def placed(self) -> bool:
        """Whether its name says where it is."""
        return ":" in self.name

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the text and of the function's name."""
        return hashlib.sha256(f"{self.function}\n{self.text}".encode()).hexdigest()

    @classmethod
    def of(cls, given: object) -> "Transform":
        """The transform that is a function or a place. Nothing of it is executed. Raises ConfigError."""
        if isinstance(given, str):
            return cls._at(given)
        name = getattr(given, "__name__", "")
        module: Any = sys.modules.get(getattr(given, "__module__", None) or "")
        file = getattr(module, "__file__", None) or ""
        importable = module is not None and module.__name__ != "__main__" and file.endswith(".py")
        if importable and getattr(module, name, None) is given:
            return cls(f"{module.__name__}:{name}", _read(Path(file)), Path(file))
        if not inspect.isfunction(given) or name == "<lambda>":
            what = "a lambda" if name == "<lambda>" else f"a {type(given).__name__}"
            raise ConfigError(f"transform is {what}, {EXPECTED}")
        found = cls(name, _text(given))
        if _meaning(getattr(found.load(), "__code__", None)) != _meaning(given.__code__):
            raise ConfigError(f"the transform {name} is not what its source says now; define it again")
        return found

    @classmethod
    def _at(cls, place: str) -> "Transform":
        """The transform at MODULE:FUNCTION or FILE.py:FUNCTION."""
        module, _, name = place.rpartition(":")
        if not module or not name.isidentifier():
            raise ConfigError(f"transform is {place!r}, {EXPECTED}")
        if module.endswith(".py"):
            file = Path(module).absolute()
            return cls(f"{file}:{name}", _read(file), file)
        found = _file_of(module)
        if found is None:
            raise ConfigError(f"transform is {place!r}, but there is no source file of a module {module}")
        return cls(place, _read(found), found)

    def load(self) -> Callable[..., Any]:
        """Execute the text; returns the function. Raises ConfigError if that fails, for example without a package."""
        shown = f"<transform {self.name}>"
        linecache.cache[shown] = len(self.text), None, self.text.splitlines(keepends=True), shown  # for tracebacks
        module = ModuleType(f"ddmlp_transform_{self.sha256[:16]}")
        own = self.name.rpartition(":")[0]
        if not own.endswith(".py"):
            package = self.file is not None and self.file.name == "__init__.py"
            module.__package__ = own if package else own.rpartition(".")[0]  # of relative imports
        sys.modules[module.__name__] = module  # classes look up their module
        try:
            exec(compile(self.text, shown, "exec", dont_inherit=True), module.__dict__)
        except (Exception, SystemExit) as error:
            raise ConfigError(f"the transform {self.name} cannot be loaded: {one_line(error)}") from error
        found: Any = getattr(module, self.function, None)
        if not callable(found):
            raise ConfigError(f"the transform {self.name} does not exist: its file has no function {self.function}")
        return found  # type: ignore[no-any-return]


def one_line(error: BaseException) -> str:
    """An error of a user's function in one line, at most LONGEST characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST]


def _file_of(module: str) -> Path | None:
    """The source file of a module that can be imported; None if there is none. Nothing is imported."""
    first, *rest = module.split(".")
    try:
        spec = find_spec(first)
    except (ImportError, ValueError):
        return None
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    origin = None if spec is None else spec.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file of the transform, {file}, cannot be read: {reason_of(error)}") from None


def _text(function: Any) -> str:
    """The source of a function that no module has, as in a notebook, and imports of the modules that it uses.

    Raises ConfigError if it uses other variables: their values would not be in its hash.
    """
    name, imports, unknown = function.__name__, [], [*function.__code__.co_freevars]
    for each in sorted(_globals(function.__code__)):
        if isinstance(value := function.__globals__.get(each), ModuleType):
            imports.append(f"import {value.__name__}{f' as {each}' * (value.__name__ != each)}\n")
        elif each in function.__globals__ or not hasattr(builtins, each):
            unknown.append(each)
    if unknown:
        raise ConfigError(
            f"the transform {name} uses {', '.join(unknown)}, which its source does not have: define or import that "
            f"in {name}, or put both into a file that can be imported"
        )
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        raise ConfigError(f"the source of the transform {name} cannot be found; put it into a file") from None
    return "".join([*imports, "\n\n" * bool(imports), "if True:\n" if source[0].isspace() else "", source])


def _globals(code: CodeType) -> set[str]:
    """The global variables that code reads, also in functions within it."""
    found = {str(each.argval) for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(_globals(each) for each in code.co_consts if isinstance(each, CodeType)))


def _meaning(code: CodeType | None) -> Any:
    """What code does, without its lines, its place, and what depends on whether its file imports a module that it uses:
    then CPython loads an attribute of the module, not a method."""
    found: list[Any] = []
    for each in () if code is None else dis.get_instructions(code):
        if each.opname in ("EXTENDED_ARG", "PUSH_NULL", "CACHE"):
            continue
        value = None if each.opcode in dis.hasjrel or each.opcode in dis.hasjabs else each.argval
        value = _meaning(value) if isinstance(value, CodeType) else repr(value)
        found.append((each.opname.replace("LOAD_METHOD", "LOAD_ATTR"), value))
    return found
