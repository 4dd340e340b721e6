"""The table of metrics, and what is made of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from prol2tp.control.commands import proacd, prol2tpd, propppd
from prol2tp.daemons.webd import table
from prol2tp.daemons.webd.metrics import Snapshot
from prol2tp.daemons.webd.series import Drops, Series
from tests.golden import records
from tests.steps import steps

ROOT = Path(__file__).parents[3]
TABLES = {"prol2tpd": table.PROL2TPD, "propppd": table.PROPPPD, "servers": table.SERVERS, "pools": table.POOLS,
          "proacd": table.PROACD}
ALL = [metric for metrics in TABLES.values() for metric in metrics] + [table.UP]


def test_names_follow_the_conventions_of_prometheus():
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)
    for metric in ALL:
        assert re.fullmatch(r"(prol2tp|proppp|proac)_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == table.COUNTER), metric.name
        assert not re.search(r"_(ms|milliseconds|kb|count|sum|bucket)$", metric.name)
        assert metric.help.endswith(".")


def fields(record, all_records):
    """Every path in a record, and whether it is of free form below."""
    for field in record.fields:
        kind = field.type.rstrip("?")
        yield field.name
        if kind in all_records:
            yield from (f"{field.name}.{path}" for path in fields(all_records[kind], all_records))


@pytest.mark.parametrize(("name", "record", "all_records"), [
    ("prol2tpd", prol2tpd.SYSTEM_RECORD, prol2tpd.RECORDS), ("propppd", propppd.RECORDS["status"], propppd.RECORDS),
    ("servers", propppd.RECORDS["server-row"], propppd.RECORDS),
    ("pools", propppd.RECORDS["pool-row"], propppd.RECORDS),
    ("proacd", proacd.RECORDS["status"], proacd.RECORDS),
])
def test_every_metric_is_in_the_records_of_the_daemon(name, record, all_records):
    known = set(fields(record, all_records)) | {"links_up", "ppp_requests", "radius_counts", "radius_in_progress"}
    for metric in TABLES[name]:
        assert metric.path in known or metric.path.rpartition(".")[0] in known, metric


def test_the_page_of_metrics_is_made_from_the_table():
    text = (ROOT / "docs/metrics.md").read_text()
    assert text.endswith("\n".join(table.reference()).rstrip("\n") + "\n"), "python -m prol2tp.daemons.webd.reference"


def test_the_dashboard_asks_for_metrics_that_there_are():
    board = json.loads((ROOT / "etc/grafana/prol2tp.json").read_text())
    known = {metric.name for metric in ALL}
    histograms = [metric.name for metric in ALL if metric.kind == table.HISTOGRAM]
    known |= {f"{name}_{part}" for name in histograms for part in ("bucket", "count")}
    asked = {name for panel in board["panels"] for target in panel["targets"]
             for name in re.findall(r"\b(?:prol2tp|proppp|proac)_\w+", target["expr"])}
    assert asked and not asked - known
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_what_daemons_say_becomes_samples_with_labels():
    text = Snapshot({"prol2tpd": records.SYSTEM, "propppd": None}).text().decode()
    assert 'prol2tp_daemon_up{daemon="prol2tpd"} 1.0' in text and 'prol2tp_daemon_up{daemon="propppd"} 0.0' in text
    assert 'prol2tp_session_setup_seconds_bucket{le="1.0"} 4.0' in text
    assert 'prol2tp_session_ends_total{cause="User Request"} 2.0' in text
    assert "proppp_" not in text


def test_what_a_peer_calls_itself_stays_a_label_value():
    bad = dict(records.SYSTEM, ends={"tunnels": {'x"} 1\nevil 2': 1}, "sessions": {}})
    text = Snapshot({"prol2tpd": bad}).text().decode()
    assert 'result="x\\"} 1\\nevil 2"' in text and "\nevil" not in text


def test_rates_are_those_between_two_samples_and_survive_a_restart():
    series = Series(("links",), ("ends",))
    assert series.add(10.0, {"links": 5, "ends": 100}) == {"time": 10.0, "links": 5, "ends": None}
    assert series.add(12.0, {"links": 6, "ends": 110})["ends"] == 5.0
    assert series.add(14.0, {"links": None, "ends": None}) == {"time": 14.0, "links": None, "ends": None}
    assert series.add(16.0, {"links": 1, "ends": 4})["ends"] is None
    assert series.add(18.0, {"links": 1, "ends": 2})["ends"] == 1.0  # it began anew
    for time in range(20, 5000):
        series.add(float(time), {"links": 1, "ends": 2})
    assert len(series.samples) == 900


def test_a_session_and_its_link_are_one_drop():
    drops = Drops()
    row = {"time": 10.0, "daemon": "propppd", "id": "1/2", "cause": "User Request"}
    assert drops.add(row) and not drops.add({**row, "daemon": "prol2tpd", "time": 12.0})
    assert drops.add({**row, "time": 13.0}) and drops.add({**row, "daemon": "prol2tpd", "time": 100.0})
    assert drops.causes() == {"User Request": 3}


def test_a_drop_costs_the_same_however_many_are_kept():
    drops = Drops()
    row = {"time": 10.0, "daemon": "propppd", "cause": "User Request"}
    first = [steps(drops.add, {**row, "id": f"1/{number}"}) for number in range(2)]
    for number in range(2, 1000):
        drops.add({**row, "id": f"1/{number}"})
    assert steps(drops.add, {**row, "id": "2/1"}) <= max(first) + 2
    assert len(drops.recent) == len(drops._by_id) == 200
    assert drops.add({**row, "id": "1/2", "daemon": "prol2tpd"}), "the link is no longer kept"
