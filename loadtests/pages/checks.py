"""Whether a run went as it was meant to: its schedule, and the stock after it."""

from loadtests.pages.markup import datum, element
from loadtests.pages.table import list_of
from loadtests.pages.words import milliseconds, share, whole
from loadtests.results import Schedule, Stock


def schedule_list(schedule: Schedule) -> str:
    """Return how the open model's schedule was kept."""
    path = "schedule"
    late = datum(f"{path}.late", schedule.late, whole(schedule.late))
    return _boxed(
        {
            "calls started": datum(f"{path}.started", schedule.started, whole(schedule.started)),
            "of them late": f"{late} ({share(schedule.late, schedule.started)})",
            "of these unattended": datum(
                f"{path}.unattended", schedule.unattended, whole(schedule.unattended)
            ),
            "due and never started": datum(
                f"{path}.never_started", schedule.never_started, whole(schedule.never_started)
            ),
            "latest by, ms": datum(
                f"{path}.worst_ms", schedule.worst_ms, milliseconds(schedule.worst_ms)
            ),
        }
    )


def stock_list(stock: Stock) -> str:
    """Return whether the stock adds up."""
    wrong = [datum(f"stock.wrong.{place}", name, name) for place, name in enumerate(stock.wrong)]
    return _boxed(
        {
            "products": datum("stock.products", stock.products, whole(stock.products)),
            "pieces sold": datum("stock.pieces_sold", stock.pieces_sold, whole(stock.pieces_sold)),
            "checkouts of unknown outcome": datum(
                "stock.open_orders", stock.open_orders, whole(stock.open_orders)
            ),
            "products that do not add up": ", ".join(wrong) or "none",
        }
    )


def _boxed(entries: dict[str, str]) -> str:
    return element("div", list_of(entries), class_="lists")
