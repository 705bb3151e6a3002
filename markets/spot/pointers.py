"""Handing a kernel many arrays by one address.

A NamedTuple of arrays is handed from kernel to kernel by value: with the arrays of a book a hundred
words for every call, which costs more than matching an order. Here a block of int64 words in memory
holds, one after the other, the address and the lengths of each array, and plain numbers; a kernel
is given the address of the block and reads `block.orders` or `block.lot_atoms` like a NamedTuple's.

    Block("book", {"orders": (ORDER, 1), "levels": (LEVEL, 2), "lot_atoms": None})

What the words say must not change while a kernel runs, so that they are read once. Nothing here
keeps the arrays alive: who fills the words (`Block.fill`) must hold them as long.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import from_dtype, types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    models,
    register_model,
)
from numba.np.arrayobj import populate_array
from numpy.typing import NDArray

Fields = Mapping[str, tuple[Any, int] | int | None]
"""By name the dtype and dimensions of an array, None for a number, or the number if it is fixed."""


class BlockType(types.Type):
    """The type of the address of a block; `places` has type and first word of each field.

    A fixed number has a word too, which nobody reads: the compiler knows it, and leaves out what
    it rules out.
    """

    def __init__(self, name: str, fields: Fields) -> None:
        super().__init__(name=f"Block({name}: {sorted(fields.items(), key=str)})")
        self.places: dict[str, tuple[Any, int]] = {}
        self.fixed = {field: kind for field, kind in fields.items() if isinstance(kind, int)}
        self.size = 0
        for field, kind in fields.items():
            if kind is None or isinstance(kind, int):
                self.places[field] = types.int64, self.size
                self.size += 1
            else:
                array = types.Array(from_dtype(np.dtype(kind[0])), kind[1], "C")
                self.places[field] = array, self.size
                self.size += 1 + kind[1]


@register_model(BlockType)
class _BlockModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: BlockType) -> None:
        super().__init__(manager, kind, ir.IntType(64))


@infer_getattr
class _BlockAttribute(AttributeTemplate):
    key = BlockType

    def generic_resolve(self, block: BlockType, name: str) -> Any:  # type: ignore[override]
        return block.places[name][0] if name in block.places else None


def _word(builder: Any, address: Any, place: int) -> Any:
    """Read a word of a block; it is the same whenever it is read."""
    integer = ir.IntType(64)
    pointer = builder.inttoptr(builder.add(address, integer(8 * place)), integer.as_pointer())
    word = builder.load(pointer)
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


@lower_getattr_generic(BlockType)
def _read(context: Any, builder: Any, block: BlockType, address: Any, name: str) -> Any:
    """A number, or an array made of its address and lengths."""
    kind, place = block.places[name]
    if name in block.fixed:
        return ir.IntType(64)(block.fixed[name])
    if kind is types.int64:
        return _word(builder, address, place)
    array = context.make_array(kind)(context, builder)
    itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    shape = [_word(builder, address, place + 1 + axis) for axis in range(kind.ndim)]
    strides = [ir.IntType(64)(itemsize)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    memory = builder.inttoptr(_word(builder, address, place), array.data.type)
    populate_array(
        array,
        data=memory,
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=ir.IntType(64)(itemsize),
        meminfo=None,
    )
    return array._getvalue()


class Block:
    """A kind of block. `at` is for kernels: the block that begins at an address."""

    def __init__(self, name: str, fields: Fields) -> None:
        self.kind = kind = BlockType(name, fields)
        self.size = kind.size

        def at(typing: Any, address: Any) -> Any:
            def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                return values[0]

            return kind(types.int64), emit

        self.at: Any = intrinsic(at)

    def fill(self, words: NDArray[np.int64], values: Mapping[str, Any]) -> None:
        """Write addresses and lengths of arrays, which must be contiguous, and numbers."""
        for field, (kind, place) in self.kind.places.items():
            value = values[field]
            if kind is types.int64:
                words[place] = value
            else:
                words[place] = value.ctypes.data
                words[place + 1 : place + 1 + value.ndim] = value.shape
