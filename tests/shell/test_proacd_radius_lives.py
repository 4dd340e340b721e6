"""Random lives of routes that RADIUS leads: whatever comes in whatever order, nothing is left over, and accounting has
a Stop for every Start."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from prol2tp.daemons.proacd.negotiation import Negotiation, settings_of
from prol2tp.daemons.proacd.route import By, State
from prol2tp.net.deadlines import ReactorDeadlines
from prol2tp.ppp.link import Link
from prol2tp.ppp.outputs import AskAuthentication, SendFrame
from prol2tp.ppp.settings import LinkSettings
from prol2tp.radius.answer import Answer
from prol2tp.radius.outputs import Accepted, Challenged, NoAnswer, Rejected
from prol2tp.radius.tunnels import TunnelGroup
from tests.shell.accounting_world import DirectQueue
from tests.shell.proacd_radius_world import User, World, row

GROUPS = (TunnelGroup(1, server_endpoint="192.0.2.1", preference=1), TunnelGroup(2, server_endpoint="192.0.2.2"))
ANSWERS = (
    Accepted(1, Answer(tunnels=GROUPS), "r1"), Accepted(1, Answer(tunnels=GROUPS[:1], session_timeout=20), "r1"),
    Accepted(1, Answer(), "r1"), Accepted(1, Answer(tunnel_problems=("x",)), "r1"),
    Accepted(1, Answer(tunnels=GROUPS, acct_interim_interval=60), "r1"), Rejected(1, Answer(reply_message="no"), "r1"),
    Challenged(1, Answer(), "r1"), NoAnswer(1, "no server answered in time"),
)


class Life:
    """One run of many users."""

    def __init__(self, seed: int, directory: Path, profile: str) -> None:
        self.chance = random.Random(seed)
        self.world = World(f"{profile} negotiation_timeout 10", 'ppp_profile "users"', str(directory))
        self.world.settle()
        self.profile = self.world.profiles.by_name["aaa"]
        self.told: Counter[tuple[str, str]] = Counter()

    def step(self) -> None:
        action = self.chance.choice((self.dial, self.dial, self.answer, self.answer, self.begin_anew, self.call_up,
                                     self.call_up, self.call_fails, self.call_ends, self.source_goes, self.operator,
                                     self.time, self.servers))
        action()
        self.world.settle()
        self.check()

    def dial(self) -> None:
        user = self.world.user(f"u{len(self.world.users)}@isp.example")
        user.counters = row(*(self.chance.randrange(1 << 40) for _ in range(4)))
        user.dial()

    def answer(self) -> None:
        if self.world.server.asked:
            index = self.chance.randrange(len(self.world.server.asked))
            self.world.answer(self.chance.choice(ANSWERS), index)

    def begin_anew(self) -> None:
        users = [user for user in self.world.users if user.callback is not None]
        if users:
            user = self.chance.choice(users)
            user.link = Link(LinkSettings(user="again@isp.example", password="pw"), self.world.random)
            user.link.open(self.world.clock.seconds())

    def _call(self, up: bool) -> list:
        return [call for call in self.world.calls if (call.route.state is State.JOINED) == up
                and call.route.destination is call and call.route.state in (State.JOINED, State.OPENING)]

    def call_up(self) -> None:
        if calls := self._call(False):
            self.chance.choice(calls).up(self.chance.choice((100, 101)))

    def call_fails(self) -> None:
        if calls := self._call(False):
            self.chance.choice(calls).fail(self.chance.random() < 0.5)

    def call_ends(self) -> None:
        if calls := self._call(True):
            self.chance.choice(calls).end("Lost Carrier", "", self.chance.random() < 0.3)

    def source_goes(self) -> None:
        if routes := list(self.world.routes.by_number.values()):
            self.world.routes.source_closed(self.chance.choice(routes), "User Request", "PADT")

    def operator(self) -> None:
        if self.chance.random() < 0.2 and (routes := list(self.world.routes.by_number.values())):
            self.chance.choice(routes).close("Admin Reset", "an operator")

    def time(self) -> None:
        self.world.settle(self.chance.choice((0.5, 3, 15)))

    def servers(self) -> None:
        for record in self.world.acknowledge():
            self.told[record.status, record.session_id] += 1

    def check(self) -> None:
        routes = list(self.world.routes.by_number.values())
        choosing = [route for route in routes if route.state is State.CHOOSING]
        assert self.profile.negotiating == len(choosing)
        assert len(self.world.choice.deadlines) <= len(choosing)
        assert len(self.world.server.asked) <= len(choosing)
        speaking = {id(user) for user in self.world.users if user.callback is not None}
        assert speaking <= {id(route.source) for route in choosing}
        accounted = [route for route in routes if route.state is State.JOINED and route.choice.kind == "l2tp"]
        assert {id(session.route) for session in self.profile.accounting.open} == {id(route) for route in accounted}
        sessions = Counter(route.place.name for route in routes if route.balanced)
        assert {one["name"]: one["sessions"] for one in self.world.balance.rows(0.0) if one["sessions"]} == sessions

    def end(self) -> None:
        for route in list(self.world.routes.by_number.values()):
            self.world.routes.close(route, By.NEITHER, "Admin Reboot", "the end")
        self.world.settle(1)
        self.servers()
        assert self.profile.negotiating == 0 == len(self.world.choice.deadlines) == len(self.world.server.asked)
        assert self.profile.accounting.idle and not self.profile.accounting._tunnels
        assert len(self.profile.accounting._due) == 0
        for begins, ends in (("Start", "Stop"), ("Tunnel-Start", "Tunnel-Stop"),
                             ("Tunnel-Link-Start", "Tunnel-Link-Stop")):
            starts = {name for status, name in self.told if status == begins}
            assert starts == {name for status, name in self.told if status == ends}
        assert all(count == 1 for (status, _), count in self.told.items() if status in ("Start", "Stop"))


@pytest.mark.parametrize("profile", ["accounting sessions links tunnels", "ask realm", "ask line interim_interval 60"])
@pytest.mark.parametrize("seed", range(4))
def test_random_lives_leave_nothing(
    seed: int, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prol2tp.aaa.service.AccountingQueue", DirectQueue)
    life = Life(seed, tmp_path, profile)
    for _ in range(150):
        life.step()
    life.end()


def damaged(chance: random.Random, octets: bytes) -> bytes:
    frame = bytearray(octets)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(frame) + 1)
        if chance.random() < 0.7 and at < len(frame):
            frame[at] = chance.randrange(256)
        elif chance.random() < 0.5:
            del frame[at : at + chance.randrange(9)]
        else:
            frame[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(frame)


def test_hostile_frames_cost_nothing_but_their_user() -> None:
    world = World()
    chance = random.Random(9)
    claims = ends = 0
    for life in range(150):
        user = User(world, "x", "y")
        deadlines = ReactorDeadlines(world.clock)
        heard: list[AskAuthentication] = []
        over: list[str] = []
        negotiation = Negotiation(user, settings_of(user, ("chap", "pap"), "lac1", 30.0), world.random, world.clock,
                                  deadlines, 30.0, heard.append, lambda cause, message, over=over: over.append(cause))
        negotiation.start()
        user.link.open(world.clock.seconds())
        for _ in range(30):
            now = world.clock.seconds()
            if (deadline := user.link.deadline()) is not None and deadline <= now:
                user.link.timeout(now)
            assert len(user.sent) < 200
            while user.sent:
                user.link.receive(user.sent.popleft(), now)
            for frame in [output.frame for output in user.link.outputs() if isinstance(output, SendFrame)]:
                for sent in [frame] * chance.choice((0, 1, 1, 1, 2)):
                    if user.callback is not None:
                        user.callback(damaged(chance, sent) if chance.random() < 0.2 else sent)
            if heard and chance.random() < 0.5:
                claims += 1
                heard.clear()
                if life % 2:
                    negotiation.refuse("no")
                else:
                    negotiation.hand_over()
            world.clock.advance(chance.random())
        ends += bool(over)
        negotiation.give_up()
        world.clock.advance(100)
        assert user.callback is None and len(deadlines) == 0 and len(over) <= 1
    assert claims > 50 and ends > 20


class Broken(Link):
    def receive(self, data: bytes, now: float) -> None:
        raise ZeroDivisionError


def test_a_fault_of_ours_costs_one_user(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    user, other = world.user(), world.user("u2@isp.example")
    user.dial()
    monkeypatch.setattr("prol2tp.daemons.proacd.negotiation.Link", Broken)
    other.dial()
    world.settle(1)
    assert other.closed == [("NAS Error", "internal error")] and len(world.server.asked) == 1
