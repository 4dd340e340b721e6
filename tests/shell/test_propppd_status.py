"""`propppctl status`, `list` and `show` of links in every state: records as documented, layouts as in the manual, and
every number true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from prol2tp.cli import links
from prol2tp.config.propppd import load
from prol2tp.control.command import NotFound
from prol2tp.control.commands.propppd import RECORDS
from prol2tp.control.shapes import problems
from prol2tp.daemons.propppd import reload
from prol2tp.daemons.propppd.commands import Commands
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.ppp.settings import Grant
from tests.shell.propppd_world import CONFIG, LinksWorld

GOLDEN = Path(__file__).parents[1] / "golden"
WAITING = CONFIG + 'profile "quiet" { auth false; silent true; local_ip 10.5.1.1; peer_ip 10.5.1.9 }\n'


def labels(lines: list[str]) -> dict[str, list[str]]:
    """The lines of each section without their values; the general ones under an empty name. Words of options, states
    and addresses are values."""
    found: dict[str, list[str]] = {"": []}
    section = ""
    for line in lines:
        if re.fullmatch(r" \w+:", line):
            section = line.strip(" :")
            found[section] = []
        elif re.match(r"  (want|got|allow|his|local state|peer state|done|config):", line):
            found[section].append(line.split(":")[0])
        else:
            found[section].append(re.sub(r"(?<=: )[^,]+(?=,|$)", "*", line))
    return found


MANUAL = labels((GOLDEN / "propppctl-show.txt").read_text().splitlines())


class Daemon(LinksWorld):
    def __init__(self) -> None:
        super().__init__(WAITING)
        self.configs = ConfigCounts()
        self.status = Status(self.links, self.configs, "t.conf", self.log)
        self.commands = Commands(self.links, self.status, self.attachments, self.dials, lambda: "", dict,
                                 lambda level: None)

    def session_link(self, profile: str, **row: Any) -> PPPLink:
        """A link whose peer says nothing."""
        near, _ = self.session()
        assert self.attach(self.row(near, profile, **row)) == [None]
        self.settle()
        return self.links.by_port[near]


def silent_lac(world: Daemon) -> PPPLink:
    return world.session_link("open", lns=False)


def establishing(world: Daemon) -> PPPLink:
    return world.session_link("subscribers", lns=True)


class Slow:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.answer: Deferred[Grant] = Deferred()

    def authenticate(self, question: Any) -> Deferred[Grant]:
        return self.answer


def authenticating(world: Daemon) -> PPPLink:
    world.links.authentication = Slow()
    return world.client(row={"lns": True})[1]


def networking(world: Daemon) -> PPPLink:
    slow = world.links.authentication = Slow()
    client, link = world.client(row={"lns": True})
    world.far.port_receiver(client.port, lambda frame: None)
    slow.answer.callback(Grant("u1@example.com"))
    world.settle()
    return link


def running(world: Daemon) -> PPPLink:
    return world.client(row={"lns": True})[1]


def terminating(world: Daemon) -> PPPLink:
    client, link = world.client(row={"lns": True})
    world.far.port_receiver(client.port, lambda frame: None)
    world.commands.table()["Destroy"](None, link.name)
    return link


STATES = {
    silent_lac: ("DEAD", "DOWN", {"lcp": "INITIAL"}),
    establishing: ("ESTABLISH", "DOWN", {"lcp": "REQSENT"}),
    authenticating: ("AUTHENTICATE", "DOWN", {"lcp": "OPENED"}),
    networking: ("NETWORK", "DOWN", {"lcp": "OPENED", "ipcp": "REQSENT"}),
    running: ("RUNNING", "UP", {"lcp": "OPENED", "ipcp": "OPENED"}),
    terminating: ("TERMINATE", "DOWN", {"lcp": "CLOSING"}),
}


@pytest.mark.parametrize("make", STATES, ids=lambda make: make.__name__)
def test_a_link_is_shown_as_in_the_manual_whatever_its_state(make: Any) -> None:
    world = Daemon()
    link = make(world)
    state, listed, machines = STATES[make]
    record = world.status.link(link)
    assert problems(record, RECORDS["link"], RECORDS) == []
    lines = links.link(record)
    shown = labels(lines)
    assert [name for name in MANUAL if name in shown] == [name for name in shown if name in MANUAL], "in this order"
    assert set(MANUAL) - set(shown) <= {"ccp", "radius", "ipcp"} and set(shown) - set(MANUAL) <= {"ipv6cp"}
    for name in shown.keys() & MANUAL.keys():
        assert shown[name] == MANUAL[name], name
    assert f"  state: {state}" in lines
    for name, wanted in machines.items():
        assert record[name]["state"] == wanted, name
    row = world.status.row(link)
    assert problems(row, RECORDS["link-row"], RECORDS) == []
    line = list(links.links([[row]]))[1]
    assert re.fullmatch(rf"session-1 {{8}}[\w-]+ +0:00:00 {listed:>8} (u1@example.com|-)", line), line


def test_the_numbers_of_status_are_those_of_what_happened() -> None:
    world = Daemon()
    _, first = world.client()
    world.client("u2@example.com", "pw2")
    world.client("u3@example.com", "wrong")
    world.later(3)
    near, _ = world.session()
    assert world.attach(world.row(near, "nothing")) != [None]
    destroy = world.commands.table()["Destroy"]
    destroy(None, first.name)
    with pytest.raises(NotFound):
        destroy(None, "session-77")
    world.later(10)
    world.configs.updates, world.configs.failures = 2, 1
    record = world.status.system()
    assert problems(record, RECORDS["status"], RECORDS) == []
    lines = links.status(record)
    assert lines[4:8] == ["PPP:", "  ppp instance count: 1", "  create requests: 4, failures: 1",
                          "  destroy requests: 2, failures: 1"]
    assert lines[14:] == ["Events:", "  created: 3, destroyed: 2, up: 2, down: 1", "Config:",
                          "  config updates: 2, failures: 1"]


def test_status_has_the_lines_of_the_manual() -> None:
    def skeleton(lines: list[str]) -> list[str]:
        return [re.sub(r"\d+", "*", line) for line in lines[4:]]

    manual = (GOLDEN / "propppctl-status.txt").read_text().splitlines()
    assert skeleton(links.status(Daemon().status.system())) == skeleton(manual)


def test_a_preview_of_a_reload_says_when_what_changed_takes_effect():
    old = load('profile "p" { }\nprofile "q" { }\nip_pool "a" { range 10.0.0.1-10.0.0.9 }\n'
               'user "u" { password "x" }\nuser "v" { password "x" }\n', "f")
    new = load('profile "p" { mru 1400 }\nip_pool "a" { range 10.0.0.1-10.0.0.5 }\n'
               'user "u" { password "y" }\nuser "w" { password "x" }\n', "f")

    class Online:
        def of(self, name):
            return [1, 2] if name in ("u", "v") else []

    class FakeLinks:
        online = Online()

    told = {(change.kind, *change.name, change.action): (effect.word, effect.why)
            for change, effect in reload.plan(FakeLinks(), old, new)}
    assert told == {
        ("profile", "p", "changed"): ("later", "for links that are made from then on"),
        ("profile", "q", "removed"): ("later", "links that are up stay, new ones are refused"),
        ("ip_pool", "a", "changed"): ("at once", "who has an address outside of it keeps it"),
        ("user", "u", "changed"): ("later", "when he comes again; online now: 2"),
        ("user", "v", "removed"): ("later", "refused when he comes again; online now: 2"),
        ("user", "w", "added"): ("later", "when he comes again"),
    }
