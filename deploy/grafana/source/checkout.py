"""What becomes of checkouts, and what is left for the reconciler."""

from typing import Final

from deploy.grafana.source.model import (
    Dashboard,
    Panel,
    Query,
    Section,
    Unit,
    quantile,
    rate,
    share,
)

_CREATE = '{job="order", grpc_method="CreateOrder"}'
_BEGUN = "shop_checkout_begun_total"
_CONFIRMED = 'shop_order_moves_total{status="CONFIRMED"}'
_REJECTED = 'shop_order_moves_total{status="REJECTED"}'
_LATER = 'shop_order_moves_total{status=~"CANCELLED|SHIPPED|DELIVERED"}'


def _all(counter: str) -> str:
    return f"sum({rate(counter)})"


_FUNNEL = Section(
    "Funnel",
    (
        Panel(
            "From begun to sold",
            "Checkouts begun, confirmed, refused, and those whose stock has followed. Good:"
            " settled is as high as all decided ones together.",
            Unit.PER_S,
            [
                Query(_all(_BEGUN), "begun"),
                Query(_all(_CONFIRMED), "confirmed"),
                Query(_all(_REJECTED), "rejected"),
                Query(_all("shop_checkout_settled_total"), "settled"),
            ],
            width=12,
        ),
        Panel(
            "Share confirmed",
            "Of the checkouts begun. What is good depends on the goods; a fall is a sale lost.",
            Unit.SHARE,
            [
                Query(
                    f"{_all(_CONFIRMED)} / {_all(_BEGUN)}",
                    "confirmed",
                )
            ],
            width=6,
            most=1,
        ),
        Panel(
            "Time of CreateOrder",
            "What a buyer waits. Good: a p99 below 0.25 s.",
            Unit.SECONDS,
            [
                Query(quantile(q, "grpc_server_handling_seconds", _CREATE), f"p{q * 100:g}")
                for q in (0.5, 0.9, 0.99)
            ],
            width=6,
            warn=0.25,
        ),
        Panel(
            "Refusals by reason",
            "ABANDONED is the reconciler's: a process died or lost its stores in mid-checkout.",
            Unit.PER_S,
            [
                Query(
                    f"sum by (reason) ({rate(_REJECTED)})",
                    "{{reason}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Later moves",
            "Orders cancelled, shipped, delivered.",
            Unit.PER_S,
            [
                Query(
                    f"sum by (status) ({rate(_LATER)})",
                    "{{status}}",
                )
            ],
        ),
        Panel(
            "Repeats, given up, overtaken",
            "Calls with a request id that was known, attempts whose outcome stayed open, changes"
            " that came second. Good: few; many repeats are clients who got no answer.",
            Unit.PER_S,
            [
                Query(_all("shop_checkout_repeated_total"), "repeated"),
                Query(_all("shop_checkout_given_up_total"), "given up"),
                Query(_all("shop_checkout_overtaken_total"), "overtaken"),
            ],
        ),
    ),
)

_AFTER = Section(
    "After the answer",
    (
        Panel(
            "Work in the background",
            "Settlements under way, and those that found no place, which the reconciler does"
            " later. Good: few, and none refused.",
            Unit.COUNT,
            [
                Query("sum(shop_background_tasks)", "under way"),
                Query("sum(increase(shop_background_refused_total[$__rate_interval]))", "refused"),
            ],
        ),
        Panel(
            "Oldest checkout left behind",
            "For how long nobody had touched it when the last run found it, beside the age from"
            " which one is taken up. Good: 0, or for a moment a little above that age.",
            Unit.SECONDS,
            [
                Query("max(shop_reconciler_oldest_seconds)", "oldest"),
                Query("max(shop_reconciler_age_seconds)", "taken up from"),
            ],
        ),
        Panel(
            "Found by the last run",
            "Checkouts left behind, the most that one process found. Good: 0; a run takes 100.",
            Unit.COUNT,
            [Query("max(shop_reconciler_found)", "found")],
            warn=1,
        ),
        Panel(
            "Cannot be settled",
            "Checkouts that the reconciler failed at and tries again, after pauses of up to 10"
            " minutes. Good: 0.",
            Unit.COUNT,
            [Query("max(shop_reconciler_failing)", "failing")],
            warn=1,
        ),
        Panel(
            "Reconciled",
            "Checkouts finished, undone, or stuck, and orphaned reservations released. Good: 0,"
            " but after a crash.",
            Unit.PER_S,
            [
                Query(f"sum by (result) ({rate('shop_reconciler_checkouts_total')})", "{{result}}"),
                Query(_all("shop_reconciler_released_total"), "reservations released"),
            ],
        ),
        Panel(
            "Share of runs that failed",
            "A run fails when MongoDB or Inventory does not answer. Good: 0.",
            Unit.SHARE,
            [
                Query(
                    share(
                        'shop_reconciler_runs_total{result="failed"}',
                        "shop_reconciler_runs_total",
                        "job",
                    ),
                    "failed",
                )
            ],
            warn=0.5,
            most=1,
        ),
        Panel(
            "Time of a run",
            "The mean. Good: milliseconds while there is nothing to do.",
            Unit.SECONDS,
            [
                Query(
                    f"{_all('shop_reconciler_seconds_total')}"
                    f" / {_all('shop_reconciler_runs_total')}",
                    "mean",
                )
            ],
        ),
    ),
)

CHECKOUT_PAGE: Final = Dashboard(
    "shop-checkout",
    "Shop: checkout",
    "From the basket to stock that has followed, and what is left for the reconciler.",
    (),
    (_FUNNEL, _AFTER),
)
