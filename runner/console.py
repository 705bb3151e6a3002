"""What is said to people goes to stderr, what is said to programs goes to stdout.

`--json` prints one strict JSON document: a figure that is not finite becomes null, because NaN is
not JSON. Text that wraps would break lines that scripts read, so away from a terminal tables get a
fixed, generous width.
"""

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 140


def console() -> "Console":
    """Rich on stderr."""
    from rich.console import Console

    wide = None if sys.stderr.isatty() else PLAIN_WIDTH
    return Console(stderr=True, width=wide, highlight=False)


def say(text: str) -> None:
    """One line for people, markup not interpreted."""
    print(text, file=sys.stderr, flush=True)


def tell_of_compiling() -> None:
    """From now on say why nothing happens while kernels are compiled, once."""
    from markets.compilation import observe
    from markets.kernel import home

    observe(lambda: say(f"compiling kernels (first run only; kept in {home()})"))


def answer(document: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(strict(document), indent=2, allow_nan=False), flush=True)


def strict(value: Any) -> Any:
    """The value with what JSON cannot say (NaN, infinities) as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def figure_text(value: float | None, digits: int = 5) -> str:
    """A number as people read it in a table, to so many significant digits."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value) or abs(value) >= 10**digits or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}"
