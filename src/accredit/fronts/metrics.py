"""`/metrics`: what the service has counted, in the text formats of Prometheus and OpenMetrics.

The numbers are read when they are asked for. `prometheus_client` writes the formats, and adds what it knows of the
process; it is imported here alone, by whoever serves this, so that a service without metrics does not load it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from enum import StrEnum

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from accredit.tallies import Histogram
from accredit.values import dataclass


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table of metrics; `name` without the suffix that a counter or a histogram gets."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    sentence: str


Numbers = Iterable[tuple[tuple[str, ...], float | Histogram]]
"""The values of the labels, with a histogram for a histogram and a number for the others."""

Readings = Sequence[tuple[Metric, Numbers]]


def routes(readings: Callable[[], Awaitable[Readings]]) -> list[Route]:
    """`readings` is asked at each call."""
    process = CollectorRegistry()
    ProcessCollector(registry=process)

    async def metrics(request: Request) -> Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected([*_families(await readings()), *process.collect()]))
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": media_type})

    return [Route("/metrics", metrics, methods=["GET"])]


class _Collected:
    """What was read already, as the library wants to collect it."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Family]:
        return self._families


def _families(readings: Readings) -> Iterator[Family]:
    for metric, numbers in readings:
        if metric.kind is Kind.HISTOGRAM:
            yield _histogram(metric, numbers)
            continue
        make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
        family = make(metric.name, metric.sentence, labels=metric.labels)
        for labels, number in sorted(numbers, key=_labels):
            assert not isinstance(number, Histogram)
            family.add_metric(labels, number)
        yield family


def _labels(number: tuple[tuple[str, ...], object]) -> tuple[str, ...]:
    return number[0]


def _histogram(metric: Metric, numbers: Numbers) -> Family:
    family = HistogramMetricFamily(metric.name, metric.sentence, labels=metric.labels)
    for labels, each in sorted(numbers, key=_labels):
        assert isinstance(each, Histogram)
        family.add_metric(labels, list(_buckets(each)), each.total)
    return family


def _buckets(histogram: Histogram) -> Iterator[tuple[str, int]]:
    total = 0
    bounds = (*map(str, map(float, histogram.bounds)), "+Inf")
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        yield bound, total
