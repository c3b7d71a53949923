"""Observes calls of an object's methods, without a change of its class."""

import time
from collections.abc import Callable
from typing import Any

Record = tuple[Callable[..., object], float, float, Any, tuple[Any, ...]]  # a note, and what it is called with


def observe(what: object, method: str, note: Callable[..., object]) -> None:
    """Have `note` called after each call of a method of this object that raises no error.

    note: gets the times of `time.monotonic` before and after the call, its result, and its arguments. An object that is
    not observed is not changed, so observing costs it nothing.

    >>> class Adder:
    ...     def add(self, a, b):
    ...         return a + b
    >>> adder, seen = Adder(), []
    >>> observe(adder, "add", lambda begin, end, result, *arguments: seen.append((result, arguments)))
    >>> adder.add(1, b=2), seen
    (3, [(3, (1, 2))])
    """
    observed, clock = getattr(what, method), time.monotonic

    def call(*arguments: Any, **named: Any) -> Any:
        begin = clock()
        result = observed(*arguments, **named)
        end = clock()
        if named:
            arguments += tuple(named.values())
        note(begin, end, result, *arguments)
        return result

    setattr(what, method, call)


def record(what: object, method: str, note: Callable[..., object], records: list[Record]) -> None:
    """Have each call of a method of this object that raises no error appended to `records`, for `note`.

    That takes little time; `replay` calls `note`, as `observe` does, later.

    >>> records, seen = [], []
    >>> class Stack:
    ...     def push(self, number):
    ...         return number + 1
    >>> stack = Stack()
    >>> record(stack, "push", lambda begin, end, result, *arguments: seen.append((result, arguments)), records)
    >>> stack.push(1), seen
    (2, [])
    >>> replay(records)
    >>> seen, records
    ([(2, (1,))], [])
    """
    observed, clock, append = getattr(what, method), time.monotonic, records.append

    def call(*arguments: Any) -> Any:
        begin = clock()
        result = observed(*arguments)
        append((note, begin, clock(), result, arguments))
        return result

    setattr(what, method, call)


def replay(records: list[Record]) -> None:
    """Call the notes of the recorded calls, in order, and clear the list."""
    for note, begin, end, result, arguments in records:
        note(begin, end, result, *arguments)
    records.clear()
