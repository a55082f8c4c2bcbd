"""Whether a load of checkouts has lost or made up a piece."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from loadtests.goods import Stubs, all_products
from loadtests.results import Stock

_SETTLED_WITHIN_S: Final = 15.0
_POLL_S: Final = 0.5


def stock_of(stubs: Stubs) -> dict[str, int]:
    """Return how many pieces of each product are available."""
    return {product.product_id: product.stock for product in all_products(stubs)}


def check_stock(
    stubs: Stubs, before: Mapping[str, int], sold: Counter[str], open_orders: int
) -> Stock:
    """Hold the stock against what it was and what the users bought; nobody else may buy.

    What was cancelled gets a while to come back.
    """
    end = time.monotonic() + _SETTLED_WITHIN_S
    while True:
        now = stock_of(stubs)
        wrong = [each for each, pieces in before.items() if now.get(each) != pieces - sold[each]]
        if not wrong or time.monotonic() > end:
            return Stock(
                products=len(before),
                pieces_sold=sold.total(),
                open_orders=open_orders,
                wrong=wrong,
            )
        time.sleep(_POLL_S)
