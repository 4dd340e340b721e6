"""The records of all daemons in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest

from prol2tp.daemons.webd import table
from prol2tp.daemons.webd.table import COUNTER, HISTOGRAM, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labelled = Sequence[tuple[Mapping[str, str], Mapping[str, Any]]]
"""Records, each with the labels that are its own."""


class Snapshot:
    """What the daemons answered: a Prometheus collector of one scrape.

    :param records: `ShowSystem` or `Status` of each daemon by its name; None where it does not answer.
    """

    def __init__(self, records: Mapping[str, Mapping[str, Any] | None], servers: Iterable[Mapping[str, Any]] = (),
                 pools: Iterable[Mapping[str, Any]] = ()) -> None:
        self._records = records
        self._servers = [({"server": row["name"], "kind": row["kind"]}, row) for row in servers]
        self._pools = [({"pool": row["name"], "kind": row["kind"]}, row) for row in pools]

    def collect(self) -> Iterator[Family]:
        """Of the collector's interface."""
        up = GaugeMetricFamily(table.UP.name, table.UP.help, labels=["daemon"])
        for name, record in self._records.items():
            up.add_metric([name], float(record is not None))
        yield up
        for name, metrics in (("prol2tpd", table.PROL2TPD), ("propppd", table.PROPPPD), ("proacd", table.PROACD)):
            record = self._records.get(name)
            if record is not None:
                if name == "propppd":
                    record = table.of_propppd(record)
                yield from _families(metrics, [({}, record)])
        yield from _families(table.SERVERS, self._servers)
        yield from _families(table.POOLS, self._pools)

    def text(self) -> bytes:
        """The exposition."""
        registry = CollectorRegistry()
        registry.register(self)  # type: ignore[arg-type]
        return generate_latest(registry)


def _families(metrics: Iterable[Metric], records: Labelled) -> Iterator[Family]:
    if not records:
        return
    labels = list(records[0][0])
    for metric in metrics:
        names = [*labels, metric.label] if metric.label else labels
        family: Any
        if metric.kind == HISTOGRAM:
            family = HistogramMetricFamily(metric.name, metric.help, labels=names)
        elif metric.kind == COUNTER:
            family = CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=names)
        else:
            family = GaugeMetricFamily(metric.name, metric.help, labels=names)
        for own, record in records:
            _add(family, metric, list(own.values()), table.value_at(record, metric.path))
        yield family


def _add(family: Any, metric: Metric, labels: list[str], value: Any) -> None:
    if value is None:
        return
    if metric.kind == HISTOGRAM:
        family.add_metric(labels, *_buckets(value))
    elif metric.label:
        for word, number in value.items():
            if number is not None:
                family.add_metric([*labels, word], float(number))
    else:
        family.add_metric(labels, float(value))


def _buckets(histogram: Mapping[str, Any]) -> tuple[list[tuple[str, float]], float]:
    """Prometheus' buckets hold what is in the smaller ones too."""
    total = 0.0
    buckets = []
    for bound, count in zip([*map(str, histogram["bounds"]), "+Inf"], histogram["counts"], strict=True):
        total += count
        buckets.append((bound, total))
    return buckets, float(histogram["sum"])
