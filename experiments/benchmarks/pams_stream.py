"""The common stream through PAMS's market, in the interpreter that PAMS is installed in.

Run as a script, not as a module: it needs nothing of Fathom. It reads rows (side, lots, ticks,
order to cancel or -1) as JSON from its input, the first `resting` of them untimed, and prints
messages a second. PAMS sweeps its book as often as it takes after every order, as its own runner
does. Orders at any price carry a price far beyond the book.
"""

import json
import random
import sys
import time
from typing import Any


def main() -> None:
    """Read the stream, run it, print the rate."""
    from pams.market import Market  # type: ignore[import-not-found]
    from pams.order import LIMIT_ORDER, Cancel, Order  # type: ignore[import-not-found]
    from pams.simulator import Simulator  # type: ignore[import-not-found]

    document = json.load(sys.stdin)
    market = Market(0, random.Random(1), Simulator(prng=random.Random(2)), "market")
    market.setup({"tickSize": 1.0, "marketPrice": float(document["mid"])})
    market._is_running = True
    market._update_time(next_fundamental_price=float(document["mid"]))
    orders: list[Any] = []

    def send(rows: list[list[int]]) -> None:
        for side, lots, ticks, cancelled in rows:
            if cancelled >= 0:
                market._cancel_order(Cancel(orders[cancelled]))
                continue
            order = Order(0, 0, side > 0, LIMIT_ORDER, lots, price=float(ticks))
            orders.append(order)
            market._add_order(order)
            while market.remain_executable_orders():
                market._execution()

    rows = document["rows"]
    send(rows[: document["resting"]])
    start = time.perf_counter()
    send(rows[document["resting"] :])
    print((len(rows) - document["resting"]) / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
