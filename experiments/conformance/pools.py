"""Pool vectors: which kernels answer which document, one comparison per stated figure.

The `kind` of a document names its mechanism. Every case is replayed in human units and compared
with the exact real figures (`*_human`) at the tolerance the document states; integers a contract
rounded to atoms are not looked at. A kind, an operation or a figure that nothing here computes
gives a comparison that failed, and so does a case whose replay raises: nothing is left out.
"""

from collections.abc import Callable, Iterator

from numba.core.errors import NumbaError

from experiments.conformance import (
    closed_forms,
    concentrated,
    constant_product,
    cryptoswap,
    stableswap,
    tick_units,
    weighted,
)
from experiments.conformance.comparison import Comparison, failure

Case = tuple[str, Callable[[], list[Comparison]]]

UNREADABLE = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, NumbaError)

CASES: dict[str, Callable[[dict], Iterator[Case]]] = {
    "constant product pool": constant_product.cases,
    "v3 tick": tick_units.cases,
    "v3 concentrated-liquidity": concentrated.cases,
    "Curve StableSwap": stableswap.cases,
    "Curve cryptoswap": cryptoswap.cases,
    "Balancer weighted": weighted.cases,
    "closed forms": closed_forms.cases,
}


def compare(document: dict) -> list[Comparison]:
    """Compare every figure of a pool document; never empty, never raises on what it holds."""
    kind = str(document.get("kind"))
    cases = next((found for start, found in CASES.items() if kind.startswith(start)), None)
    if cases is None:
        return [failure(f"unknown kind {kind}", "kind", got=kind)]
    try:
        rows = [row for name, replay in cases(document) for row in _replayed(name, replay)]
    except UNREADABLE as error:
        return [failure(kind, "document", got=_reason(error))]
    return rows or [failure(kind, "no case in the document")]


def _replayed(name: str, replay: Callable[[], list[Comparison]]) -> list[Comparison]:
    try:
        return replay()
    except UNREADABLE as error:
        return [failure(name, "replay", got=_reason(error))]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
