"""What became of checkouts in this process, as plain numbers."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from services.order.model import Order, OrderStatus, RejectReason, Unsettled

MOVES: Final = (
    (OrderStatus.CONFIRMED, ""),
    *((OrderStatus.REJECTED, reason.value) for reason in RejectReason),
    (OrderStatus.CANCELLED, ""),
    (OrderStatus.SHIPPED, ""),
    (OrderStatus.DELIVERED, ""),
)
"""What an order may become, with the reason of a refusal."""


@dataclass(slots=True)
class CheckoutFigures:
    """How checkouts began, what was decided and how far their stock followed.

    ``overtaken`` counts changes that were not made since somebody else made one first. A change
    whose answer from the store was lost is not counted.
    """

    begun: int = 0
    repeated: int = 0
    given_up: int = 0
    settled: int = 0
    overtaken: int = 0
    moves: Counter[tuple[OrderStatus, str]] = field(default_factory=Counter)

    def moved(self, order: Order) -> None:
        """Count an order that has got its present status."""
        self.moves[order.status, order.reject_reason] += 1


@dataclass(slots=True)
class ReconcilerFigures:
    """What the reconciler found and did.

    ``undone`` counts checkouts that it rejected, ``finished`` those decided before whose stock it
    let follow, ``stuck`` attempts at what cannot be reconciled, ``released`` orphaned reservations.
    ``found``, ``oldest_s`` and ``failing`` are of the last run: how many were old, for how long
    nobody had touched the oldest, and how many could not be reconciled so far.
    """

    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    finished: int = 0
    undone: int = 0
    stuck: int = 0
    released: int = 0
    found: int = 0
    oldest_s: float = 0.0
    failing: int = 0

    def saw(self, unsettled: Unsettled) -> None:
        """Note what a run has found."""
        self.found = len(unsettled.checkouts)
        self.oldest_s = unsettled.oldest_s
        self.failing = unsettled.failing
