"""What Prometheus is told. Values of labels are ours: no stranger can make new series.

What is not known, such as the inbox's counts while the store is down, has no series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from xops.github.inbox.inbox import DeliveryState
from xops.github.policy import EVENTS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER, UNVERIFIED = "other", "unverified"
"""An event that is not used; and any of which nobody has vouched for."""

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True)
class InboxFigures:
    """What the inbox holds.

    Attributes:
        counts: deliveries by state.
        oldest_waiting: when the oldest came that waits for being dispatched; None if none waits.
    """

    counts: Mapping[DeliveryState, int]
    oldest_waiting: datetime | None


class _Inbox(Collector):
    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.figures: InboxFigures | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        known = self.figures
        name, text = "xops_webhook_inbox_up", "Whether the inbox's store answers."
        yield GaugeMetricFamily(name, text, value=float(known is not None))
        if known is None:
            return
        name, text = "xops_webhook_inbox_deliveries", "Deliveries in the inbox."
        states = GaugeMetricFamily(name, text, labels=["state"])
        for state in DeliveryState:
            states.add_metric([state.value], known.counts.get(state, 0))
        yield states
        if known.oldest_waiting is not None:
            age = (self._clock() - known.oldest_waiting).total_seconds()
            name, text = "xops_webhook_oldest_waiting_seconds", "Age of the oldest that waits."
            yield GaugeMetricFamily(name, text, value=max(0.0, age))


class Metrics:
    """Counts of one receiver.

    Args:
        queue_length: how many deliveries wait for being kept.
        clock: the time of day, in UTC.
    """

    def __init__(
        self,
        queue_length: Callable[[], int],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry = CollectorRegistry()
        self._inbox = _Inbox(clock)
        self._registry.register(self._inbox)
        self._answers = Counter(
            "xops_webhook_deliveries",
            "Deliveries by event and by what became of them.",
            ["event", "outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "xops_webhook_answer_seconds",
            "From the headers of a delivery to its answer.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        name, text = "xops_webhook_queue_length", "Deliveries that wait for being kept."
        Gauge(name, text, registry=self._registry).set_function(queue_length)

    def count(self, event: str | None, outcome: str, seconds: float) -> None:
        """Count an answer.

        Args:
            event: None if nobody has vouched for it.
            outcome: one of ours.
            seconds: that it took.
        """
        label = UNVERIFIED if event is None else event if event in EVENTS else OTHER
        self._answers.labels(label, outcome).inc()
        self._seconds.observe(seconds)

    def text(self, figures: InboxFigures | None) -> bytes:
        """All of it in Prometheus' text format; without the inbox's part if that is not known."""
        self._inbox.figures = figures
        return generate_latest(self._registry)
