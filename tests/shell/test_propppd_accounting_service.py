"""Accounting as a whole: it begins with a server, tells servers that we come and go, and ends when all is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from prol2tp.aaa import service
from prol2tp.aaa.service import SENDING_PATIENCE
from prol2tp.daemons.propppd.accounting_service import AccountingService
from prol2tp.daemons.propppd.service import Options
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.radius.outputs import ServerDead
from prol2tp.radius.servers import ServerSettings
from prol2tp.spool.queue import QueueFailed
from tests.shell.accounting_world import DirectQueue, RadiusPeer
from tests.shell.propppd_world import result
from tests.shell.test_propppd_radius import RadiusWorld

SERVER = 'server "r1" { address 192.0.2.53; secret "s3cret" }'
REALMS = """
server "r2" { address 192.0.2.54; secret "s3cret"; realms b.example c.example }
server "r3" { address 192.0.2.55; secret "s3cret"; realms c.example; auth_port 0 }
"""
CONFIG = """
profile "subscribers" { auth true; auth_methods chap; use_radius true; local_ip 10.5.1.1 }
radius { nas_identifier "lns7"; %s }
"""


class ServiceWorld(RadiusWorld):
    """The service with links, and servers for accounting that answer when a test says so."""

    def __init__(self, path: Path, servers: str) -> None:
        super().__init__()
        self.records = RadiusPeer((), 100)
        self.told: list[tuple[str, str]] = []
        self.service = AccountingService(
            self.clock, self.links, self.source, self.records, str(path / "queue"), self.log,
            lambda name, reason: self.told.append((name, reason)))
        self.servers_are(servers)

    def servers_are(self, servers: str) -> None:
        """Also again, as by a reload."""
        self.configure(CONFIG % servers)
        radius = self.config.radius
        self.records.core.set_servers(
            [ServerSettings(name, server.address, b"s", server.auth_port, server.acct_port, realms=server.realms)
             for name, server in radius.servers.items()], 0.0)
        result(self.service.configure(radius))
        self.service.servers_changed()
        self.settle()

    @property
    def queue(self) -> Any:
        return self.service.queue

    @property
    def said(self) -> list[tuple[str, str]]:
        """What is in the queue."""
        return [(stored.request.status, str(stored.request.user)) for stored in self.queue.stored()]

    def ends(self) -> Deferred[Any]:
        """What the daemon does at its end."""
        self.links.end_all("Admin Reboot", "propppd stops", 3.0)
        self.settle()
        return self.service.stop()

    def answer_all(self) -> None:
        while self.records.asked:
            self.records.answer()
            self.settle()


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "AccountingQueue", DirectQueue)


@pytest.fixture
def world(tmp_path: Path, direct: None) -> ServiceWorld:
    return ServiceWorld(tmp_path, SERVER)


def test_without_a_server_for_accounting_there_is_no_queue_and_no_file(tmp_path: Path, direct: None) -> None:
    world = ServiceWorld(tmp_path, SERVER.replace("secret", "acct_port 0; secret"))
    _, link = world.client("r@example.com", "pw")
    world.accept()
    assert link.up and link.accounting is None
    assert world.queue is None and world.service.record() is None and not list(tmp_path.iterdir())
    world.servers_are(SERVER)
    assert world.said == [("Accounting-On", "")]
    result(world.service.path_ready(world.near))


def test_every_group_of_servers_is_told_once_that_we_are_here(tmp_path: Path, direct: None) -> None:
    world = ServiceWorld(tmp_path, SERVER + REALMS)
    users = sorted(str(record.user) for record, _ in world.records.asked)
    assert users == ["", "@b.example", "@c.example"]
    groups = [sorted(one.name for one in world.records.core.group_of(record)) for record, _ in world.records.asked]
    assert sorted(groups) == [["r1"], ["r2"], ["r2", "r3"]]
    world.answer_all()
    world.servers_are(SERVER + REALMS + 'server "r4" { address 192.0.2.56; secret "s3cret"; realms d.example }')
    assert [str(record.user) for record, _ in world.records.asked] == ["@d.example"]
    record = world.records.asked[0][0]
    assert (record.nas.identifier, record.session_id) == ("lns7", f"{world.source.run}00000000")


def test_the_end_waits_for_stops_then_says_accounting_off_and_leaves_nothing(world: ServiceWorld) -> None:
    for number, user in enumerate(("r@example.com", "s@example.com")):
        world.client(user, "pw")
        world.accept(framed_ip_address=f"10.1.2.{number + 3}")
    world.answer_all()
    done = world.ends()
    world.later(0.5)
    assert not done.called
    sent = [record.status for record, _ in world.records.asked]
    assert sent == ["Stop", "Stop", "Accounting-Off"]
    world.answer_all()
    world.later(0.5)
    assert done.called


def test_servers_that_do_not_answer_delay_the_end_for_a_while_and_get_the_rest_later(
    world: ServiceWorld, tmp_path: Path
) -> None:
    world.client("r@example.com", "pw")
    world.accept()
    world.answer_all()
    done = world.ends()
    world.later(SENDING_PATIENCE - 1)
    assert not done.called
    world.later(1.5)
    assert done.called
    again = ServiceWorld(tmp_path, SERVER)
    assert again.said == [("Stop", "r@example.com"), ("Accounting-Off", ""), ("Accounting-On", "")]
    result(again.service.path_ready(again.near))
    assert len(again.said) == 3, "no session is open"


def test_servers_that_are_known_to_be_dead_do_not_delay_the_end(world: ServiceWorld) -> None:
    world.client("r@example.com", "pw")
    world.accept()
    world.records.live("r1", False)
    world.service.server_changed(ServerDead("r1", "acct"))
    world.settle()
    assert world.service.record()["waiting"] == world.service.record()["depth"] == 2
    done = world.ends()
    world.later(0.5)
    assert done.called


def test_a_disk_that_takes_nothing_delays_the_end_for_a_while_only(
    world: ServiceWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client("r@example.com", "pw")
    world.accept()
    world.answer_all()
    monkeypatch.setattr(world.queue, "append", lambda *record: Deferred())
    done = world.ends()
    world.later(SENDING_PATIENCE - 1)
    assert not done.called
    world.later(1.5)
    assert done.called


def test_sessions_that_a_killed_daemon_left_get_their_stop_at_the_start(world: ServiceWorld, tmp_path: Path) -> None:
    world.near.instance = "path"
    world.client("r@example.com", "pw")
    world.accept()
    world.queue.file.close()
    again = ServiceWorld(tmp_path, SERVER)
    again.near, again.source.run, again.service.run = world.near, "the next", "the next"
    result(again.service.path_ready(world.near))
    assert again.said == [("Accounting-On", ""), ("Start", "r@example.com"), ("Accounting-On", ""),
                          ("Stop", "r@example.com")]


def test_a_queue_that_is_opened_late_gives_them_theirs_by_their_last_records(
    world: ServiceWorld, tmp_path: Path
) -> None:
    world.near.instance = "path"
    world.client("r@example.com", "pw")
    world.accept()
    world.queue.file.close()
    world.settle(30)
    again = ServiceWorld(tmp_path, SERVER.replace("secret", "acct_port 0; secret"))
    again.near, again.source.run, again.service.run = world.near, "the next", "the next"
    again.clock.advance(50)
    result(again.service.path_ready(world.near))
    again.servers_are(SERVER)
    start, stop = (one.request for one in again.queue.stored() if one.request.user)
    assert (stop.status, stop.event_timestamp, stop.input_octets) == ("Stop", start.event_timestamp, None)


def test_when_the_last_server_goes_open_sessions_get_their_stop_and_new_ones_are_not_accounted(
    world: ServiceWorld
) -> None:
    _, link = world.client("r@example.com", "pw")
    world.accept()
    world.answer_all()
    world.servers_are(SERVER.replace("secret", "acct_port 0; secret"))
    _, other = world.client("s@example.com", "pw")
    world.accept(framed_ip_address="10.1.2.4")
    link.lost("Lost Carrier", "")
    other.lost("Lost Carrier", "")
    world.settle(1)
    assert world.said == [("Stop", "r@example.com")]
    assert world.service.record()["waiting"] == 1
    world.servers_are(SERVER)
    assert [record.status for record, _ in world.records.asked] == ["Stop"]


def test_a_reload_gives_links_that_are_up_another_interval(world: ServiceWorld) -> None:
    world.client("r@example.com", "pw")
    world.accept()
    world.answer_all()
    world.later(100)
    world.servers_are(f"interim_interval 20; {SERVER}")
    world.later(21)
    assert [record.status for record, _ in world.records.asked] == ["Interim-Update"]
    world.answer_all()
    world.servers_are(SERVER)
    world.later(100)
    assert world.said == []


def test_status_shows_the_queue(world: ServiceWorld) -> None:
    status = Status(world.links, ConfigCounts(), "t", world.log, accounting=world.service)
    world.settle(90)
    record = status.system()["accounting_queue"]
    assert (record["depth"], record["oldest"], record["waiting"], record["trouble"]) == (1, 90, 0, "")
    world.answer_all()
    record = status.system()["accounting_queue"]
    assert (record["depth"], record["oldest"]) == (0, 0)


def test_trouble_of_the_disk_is_an_event_and_so_is_its_end(world: ServiceWorld) -> None:
    world.queue.on_trouble("disk full")
    world.queue.on_trouble("")
    assert world.told == [("accounting-trouble", "disk full"), ("accounting-restored", "")]


def test_a_queue_that_cannot_be_opened_is_said_and_accounts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(DirectQueue):
        def start(self) -> Deferred[None]:
            return fail(QueueFailed("accounting queue /x: no such device"))

    monkeypatch.setattr(service, "AccountingQueue", Broken)
    world = ServiceWorld(tmp_path, SERVER.replace("secret", "acct_port 0; secret"))
    with pytest.raises(QueueFailed, match="no such device"):
        world.servers_are(SERVER)
    _, link = world.client("r@example.com", "pw")
    world.accept()
    assert link.up and link.accounting is None and world.service.record() is None
    monkeypatch.setattr(service, "AccountingQueue", DirectQueue)
    world.servers_are(SERVER)
    assert world.said == [("Accounting-On", "")]


def test_a_state_directory_that_cannot_be_had_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "propppd.conf"
    path.write_text(CONFIG % SERVER)
    (tmp_path / "file").write_text("")
    words = ["-c", str(path), "--run-dir", str(tmp_path / "run"), "--state-dir", str(tmp_path / "file" / "state")]
    with pytest.raises(SystemExit) as ended:
        Options().parseOptions(words)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == f"propppd: cannot make state directory {tmp_path}/file/state: Not a directory\n"
    path.write_text(CONFIG % SERVER.replace("secret", "acct_port 0; secret"))
    Options().parseOptions(words)


def test_the_end_of_a_daemon_that_accounts_nothing_is_at_once(tmp_path: Path, direct: None) -> None:
    world = ServiceWorld(tmp_path, SERVER.replace("secret", "acct_port 0; secret"))
    world.client("r@example.com", "pw")
    world.accept()
    assert world.ends().called and world.queue is None
