"""Vectors for the kernels: 64 float32 numbers, of neighbouring hidden units or classes.

A vector is LLVM's `<64 x float>`, which the compiler maps to the registers of the processor. Each operation works lane
by lane, and IEEE 754 defines its result to the last bit, so the result does not depend on the width of the registers.
Only `total` and `largest` combine lanes, in a fixed order. A scalar argument stands for a vector with that value in
every lane. (LLVM Language Reference, "Vector Type" and "llvm.fma".)
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

from ddmlp.nn.weights import LANES

WORD = ir.IntType(32)
VECTOR, WORDS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(WORD, LANES)
MAGNITUDE = 0x7FFFFFFF  # of a float32: all but its sign


class Lanes(types.Type):  # type: ignore[misc]
    """Numba's type of a vector."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, VECTOR)


@intrinsic
def zeros(_typing: Any) -> Any:
    """A vector of +0."""
    return lanes(), lambda *_: ir.Constant(VECTOR, [0.0] * LANES)


@intrinsic
def item(_typing: Any, array: Any, place: Any) -> Any:  # noqa: ARG001
    """array[place], without a check, so that inner loops need no code for negative places."""

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, array, arguments, context.get_value_type(array.dtype)))

    return array.dtype(array, types.intp), build


@intrinsic
def load(_typing: Any, array: Any, place: Any) -> Any:  # noqa: ARG001
    """The float32 numbers array[place], array[place + 1], ... as a vector. Nothing is checked."""

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, array, arguments, VECTOR), align=4)

    return lanes(array, types.intp), build


@intrinsic
def store(_typing: Any, array: Any, place: Any, vector: Any) -> Any:  # noqa: ARG001
    """Write a vector to array[place], array[place + 1], ... Nothing is checked."""

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _address(context, builder, array, arguments, VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), build


@intrinsic
def load_byte(_typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The byte at an address. Nothing is checked."""
    return types.uint8(types.intp), lambda _context, builder, _signature, arguments: builder.load(
        builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
    )


@intrinsic
def load_word(_typing: Any, address: Any) -> Any:  # noqa: ARG001
    """Eight bytes at an address, as a uint64 whose lowest byte is the first one. Nothing is checked."""
    return types.uint64(types.intp), lambda _context, builder, _signature, arguments: builder.load(
        builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), align=1
    )


@intrinsic
def prefetch(_typing: Any, address: Any) -> Any:  # noqa: ARG001
    """Tell the processor that the bytes around an address will be read soon."""

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, WORD, WORD, WORD])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # 0: for reading; 3: keep in all caches; 1: data, not instructions.
        builder.call(function, [builder.inttoptr(arguments[0], pointer), WORD(0), WORD(3), WORD(1)])
        return context.get_dummy_value()

    return types.void(types.intp), build


def _address(context: Any, builder: Any, array: Any, arguments: Sequence[Any], pointee: Any) -> Any:
    start = context.make_array(array)(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(start, [arguments[1]]), pointee.as_pointer())


def _lanewise(kinds: Sequence[Any], operate: Callable[..., Any]) -> Any:
    """A signature and its code, operate(builder, *vectors), for arguments of these types."""
    takes = [lanes if isinstance(kind, Lanes) else types.float32 for kind in kinds]

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pairs = zip(takes, arguments, strict=True)
        return operate(builder, *(value if kind is lanes else _broadcast(builder, value) for kind, value in pairs))

    return lanes(*takes), build


def _broadcast(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(WORD, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(WORDS, [0] * LANES))


def _overload(symbol: Callable[..., Any], name: str) -> None:
    """Implement an operator for vectors by the LLVM instruction `name`."""

    @intrinsic
    def apply(_typing: Any, a: Any, b: Any) -> Any:
        return _lanewise([a, b], lambda builder, x, y: getattr(builder, name)(x, y))

    # Numba compares the signatures of the two functions, so neither has annotations.
    def choose(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return (lambda a, b: apply(a, b)) if isinstance(a, Lanes) or isinstance(b, Lanes) else None

    overload(symbol)(choose)


_overload(operator.add, "fadd")
_overload(operator.sub, "fsub")
_overload(operator.mul, "fmul")
_overload(operator.truediv, "fdiv")


@intrinsic
def fma(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once (IEEE 754-2019, section 5.4.1)."""

    def operate(builder: Any, *vectors: Any) -> Any:
        function = ir.FunctionType(VECTOR, [VECTOR] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.fma.v{LANES}f32"), vectors)

    return _lanewise([a, b, c], operate)


@intrinsic
def limit(_typing: Any, x: Any, most: Any) -> Any:
    """x, limited to -most..most. NaN stays NaN."""

    def operate(builder: Any, x: Any, most: Any) -> Any:
        least = builder.fneg(most)
        x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
        return builder.select(builder.fcmp_ordered(">", x, most), most, x)

    return _lanewise([x, most], operate)


@intrinsic
def scale(_typing: Any, x: Any, exponent: Any) -> Any:
    """x 2^k, where k is the whole number in the lowest bits of `exponent`. x and the result must be normal numbers."""

    def operate(builder: Any, x: Any, exponent: Any) -> Any:
        moved = builder.shl(builder.bitcast(exponent, WORDS), ir.Constant(WORDS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(x, WORDS), moved), VECTOR)

    return _lanewise([x, exponent], operate)


@intrinsic
def steeper(_typing: Any, x: Any, best: Any) -> Any:
    """The larger of |x| and best, which has no sign. Infinity and NaN count as larger than every finite number."""

    def operate(builder: Any, x: Any, best: Any) -> Any:
        x = builder.and_(builder.bitcast(x, WORDS), ir.Constant(WORDS, [MAGNITUDE] * LANES))
        best = builder.bitcast(best, WORDS)
        return builder.bitcast(builder.select(builder.icmp_unsigned(">", x, best), x, best), VECTOR)

    return _lanewise([x, best], operate)


@intrinsic
def total(_typing: Any, vector: Any) -> Any:
    """The sum of the lanes, by halves: lanes i and i + 32 are added first, then i and i + 16, ..., finally 0 and 1."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _halve(builder, arguments[0], builder.fadd)

    return types.float32(vector), build


@intrinsic
def largest(_typing: Any, vector: Any) -> Any:
    """The largest lane of a result of `steeper`."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], WORDS)
        most = _halve(builder, bits, lambda a, b: builder.select(builder.icmp_unsigned(">", a, b), a, b))
        return builder.bitcast(most, ir.FloatType())

    return types.float32(vector), build


def _halve(builder: Any, vector: Any, join: Callable[..., Any]) -> Any:
    """Join the lower half of the lanes with the upper half, until one lane is left."""
    while (half := vector.type.count // 2) > 0:
        sides = [ir.Constant(ir.VectorType(WORD, half), list(range(begin, begin + half))) for begin in (0, half)]
        vector = join(*(builder.shuffle_vector(vector, vector, side) for side in sides))
    return builder.extract_element(vector, ir.Constant(WORD, 0))
