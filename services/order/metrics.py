"""The figures of checkouts and of their reconciler, for Prometheus."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.common.background import BackgroundTasks
from services.order.figures import MOVES, CheckoutFigures, ReconcilerFigures


class OrderMetrics(Collector):
    """What became of checkouts in this process; ``age_s`` is when the reconciler takes one up."""

    def __init__(
        self,
        checkouts: CheckoutFigures,
        reconciler: ReconcilerFigures,
        background: BackgroundTasks,
        age_s: float,
    ) -> None:
        self._checkouts = checkouts
        self._reconciler = reconciler
        self._background = background
        self._age_s = age_s

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        yield from self._funnel()
        yield from self._reconciled()
        yield GaugeMetricFamily(
            "shop_background_tasks", "Work that goes on after answers.", value=self._background.size
        )
        yield CounterMetricFamily(
            "shop_background_refused",
            "Work after answers that found no place.",
            value=self._background.refused,
        )

    def _funnel(self) -> Iterable[Metric]:
        f = self._checkouts
        for name, documentation, count in (
            ("begun", "Checkouts begun.", f.begun),
            ("repeated", "Calls for a checkout that was known by its request id.", f.repeated),
            ("given_up", "Attempts given up since their outcome was open.", f.given_up),
            ("settled", "Checkouts whose stock has followed.", f.settled),
            ("overtaken", "Changes not made since another one came first.", f.overtaken),
        ):
            yield CounterMetricFamily(f"shop_checkout_{name}", documentation, value=count)
        moves = CounterMetricFamily(
            "shop_order_moves",
            "Orders that became what they are, with the reason of a refusal.",
            labels=("status", "reason"),
        )
        for status, reason in MOVES:
            moves.add_metric((status.value, reason), f.moves[status, reason])
        yield moves

    def _reconciled(self) -> Iterable[Metric]:
        f = self._reconciler
        runs = CounterMetricFamily(
            "shop_reconciler_runs", "Runs of the reconciler.", labels=("result",)
        )
        runs.add_metric(("done",), f.done)
        runs.add_metric(("failed",), f.failed)
        checkouts = CounterMetricFamily(
            "shop_reconciler_checkouts",
            "Checkouts that the reconciler finished, undid, or could do neither with.",
            labels=("result",),
        )
        checkouts.add_metric(("finished",), f.finished)
        checkouts.add_metric(("undone",), f.undone)
        checkouts.add_metric(("stuck",), f.stuck)
        yield from (runs, checkouts)
        yield CounterMetricFamily(
            "shop_reconciler_seconds", "Time that its runs took.", value=f.seconds
        )
        yield CounterMetricFamily(
            "shop_reconciler_released", "Orphaned reservations released.", value=f.released
        )
        for name, documentation, value in (
            ("found", "Old checkouts that the last run found.", f.found),
            ("oldest_seconds", "For how long nobody had touched the oldest of them.", f.oldest_s),
            ("failing", "Unsettled checkouts that could not be reconciled so far.", f.failing),
            ("age_seconds", "Age from which it takes a checkout up.", self._age_s),
        ):
            yield GaugeMetricFamily(f"shop_reconciler_{name}", documentation, value=value)
