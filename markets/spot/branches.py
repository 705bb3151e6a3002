"""Telling the compiler which way a branch seldom goes.

Most messages of an order book are plain: no clause, no limit of the client's, room enough. What the
others need is kept out of the way of these: a function that is called in an unlikely branch only is
not copied into the loop, and registers are not kept free for it. It changes no result.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _expects_not(typing: Any, condition: Any) -> Any:
    """The condition itself, marked as one that seldom holds."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bit = ir.IntType(1)
        kind = ir.FunctionType(bit, [bit, bit])
        expect = cgutils.get_or_insert_function(builder.module, kind, "llvm.expect.i1")
        return builder.call(expect, [values[0], bit(0)])

    return types.boolean(types.boolean), emit


unlikely: Any = intrinsic(_expects_not)
