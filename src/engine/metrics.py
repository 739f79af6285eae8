# Owns the counters, gauges and histograms that /metrics shows, in the Prometheus text format.
# Metrics are plain objects created by server.py's registry and handed to who counts; nothing is
# global.
"""Metrics registry and exposition."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

LATENCY_BUCKETS_S = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _labels(names: Sequence[str], values: Sequence[str], extra: str = "") -> str:
    pairs = [f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)]
    if extra:
        pairs.append(extra)
    return "{" + ",".join(pairs) + "}" if pairs else ""


class Counter:
    """A number per label set that only grows."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self.values: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, amount: float, *labels: str) -> None:
        """Grow by `amount` for the given label values."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def forget(self, *labels: str) -> None:
        """Drop the number of the given label values, whose subject is gone."""
        self.values.pop(labels, None)

    def value(self, *labels: str) -> float:
        """The present number for the given label values."""
        return self.values.get(labels, 0)

    def lines(self) -> list[str]:
        """Samples in the text format."""
        return [
            f"{self.name}{_labels(self.labels, labels)} {value:g}"
            if abs(value) < 1e6
            else f"{self.name}{_labels(self.labels, labels)} {value!r}"
            for labels, value in sorted(self.values.items())
        ]


class Gauge:
    """A number that is read when it is shown."""

    kind = "gauge"

    def __init__(self, name: str, text: str, read: Callable[[], float]) -> None:
        self.name = name
        self.text = text
        self.read = read

    def lines(self) -> list[str]:
        """Samples in the text format."""
        return [f"{self.name} {self.read()!r}"]


class ReadCounter(Gauge):
    """A number that only grows, and that somebody else counts."""

    kind = "counter"


class GaugeFamily:
    """Numbers by label set, read when they are shown."""

    kind = "gauge"

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        read: Callable[[], Iterable[tuple[tuple[str, ...], float]]],
    ) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self.read = read

    def lines(self) -> list[str]:
        """Samples in the text format."""
        return [
            f"{self.name}{_labels(self.labels, values)} {number!r}"
            for values, number in self.read()
        ]


class Histogram:
    """A distribution of seconds."""

    kind = "histogram"

    def __init__(self, name: str, text: str, buckets: Sequence[float] = LATENCY_BUCKETS_S) -> None:
        self.name = name
        self.text = text
        self.buckets = tuple(buckets)
        self.counts = [0] * (len(self.buckets) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.buckets, value)] += 1
        self.total += value

    def lines(self) -> list[str]:
        """Samples in the text format, buckets cumulative."""
        result = []
        seen = 0
        for bound, count in zip((*self.buckets, float("inf")), self.counts, strict=True):
            seen += count
            label = "+Inf" if bound == float("inf") else f"{bound:g}"
            result.append(f'{self.name}_bucket{{le="{label}"}} {seen}')
        return [*result, f"{self.name}_sum {self.total!r}", f"{self.name}_count {seen}"]


_Metric = TypeVar("_Metric", Counter, Gauge, ReadCounter, GaugeFamily, Histogram)


class MetricsRegistry:
    """All metrics of one server."""

    def __init__(self) -> None:
        self._metrics: dict[str, Counter | Gauge | GaugeFamily | Histogram] = {}

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Create and register a counter."""
        return self._register(Counter(name, text, labels))

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> Gauge:
        """Create and register a gauge that calls `read` when shown."""
        return self._register(Gauge(name, text, read))

    def counted(self, name: str, text: str, read: Callable[[], float]) -> ReadCounter:
        """Create and register a counter whose number `read` gives when shown."""
        return self._register(ReadCounter(name, text, read))

    def gauges(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        read: Callable[[], Iterable[tuple[tuple[str, ...], float]]],
    ) -> GaugeFamily:
        """Create and register gauges of which `read` gives label values and numbers."""
        return self._register(GaugeFamily(name, text, labels, read))

    def histogram(self, name: str, text: str) -> Histogram:
        """Create and register a histogram of seconds."""
        return self._register(Histogram(name, text))

    def _register(self, metric: _Metric) -> _Metric:
        assert metric.name not in self._metrics
        self._metrics[metric.name] = metric
        return metric

    def render(self) -> str:
        """Everything in the Prometheus text format."""
        lines: list[str] = []
        for metric in self._metrics.values():
            lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}"]
            lines += metric.lines()
        return "\n".join(lines) + "\n"
