"""Two ends of a link in one process and virtual time, over lines that lose, double and reorder frames."""

from __future__ import annotations

import pytest

from prol2tp.ppp.link import CAUSES, Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkAuthenticated, LinkDown, NetworkDown, NetworkUp
from prol2tp.ppp.settings import LinkSettings
from tests.ppp_ends import Pair, users

SEEDS = 600


def lns(**settings: object) -> LinkSettings:
    base: dict[str, object] = {"auth": True, "name": "lns", "local_ip": "10.0.0.1", "dns": ("9.9.9.9",)}
    return LinkSettings(**(base | settings))  # type: ignore[arg-type]


def client(**settings: object) -> LinkSettings:
    base: dict[str, object] = {"user": "u1", "password": "pw1", "usepeerdns": True}
    return LinkSettings(**(base | settings))  # type: ignore[arg-type]


SERVER = users(u1="pw1", lns="both")


METHODS = ("pap", "chap", "mschapv1", "mschapv2")


@pytest.mark.parametrize("method", METHODS)
def test_a_user_comes_up_with_both_protocols_and_the_address_that_the_server_gives(method: str) -> None:
    pair = Pair(lns(auth_methods=(method,)), client(allow_methods=METHODS), answer=SERVER)
    pair.start()
    pair.run(5.0)
    assert {(up.protocol, up.local, up.peer) for up in pair.ups(0) if up.protocol == "ip"} == {
        ("ip", "10.0.0.1", "10.0.0.99")
    }
    learnt = [up for up in pair.ups(1) if up.protocol == "ip"]
    assert [(up.local, up.peer, up.dns) for up in learnt] == [("10.0.0.99", "10.0.0.1", ("9.9.9.9",))]
    (ours,), (theirs,) = ([up for up in pair.ups(side) if up.protocol == "ipv6"] for side in (0, 1))
    assert (ours.local, ours.peer) == (theirs.peer, theirs.local)
    assert pair.links[0].user == "u1"
    assert pair.links[0].auth_done == (method, "")
    assert pair.links[1].auth_done == ("", method)
    assert pair.frames < 30


def test_both_ends_prove_themselves_to_each_other() -> None:
    pair = Pair(
        lns(user="lns", password="both"),
        client(auth=True, allow_methods=("chap",), auth_methods=("pap",), local_ip="10.0.0.99"),
        answer=SERVER,
    )
    pair.start()
    pair.run(10.0)
    assert pair.links[0].auth_done == ("chap", "pap")
    assert pair.links[1].auth_done == ("pap", "chap")
    assert pair.is_up(0) and pair.is_up(1)


def test_the_methods_are_agreed_on_by_nak() -> None:
    pair = Pair(lns(auth_methods=("chap", "pap")), client(allow_methods=("pap",)), answer=SERVER)
    pair.start()
    pair.run(5.0)
    assert pair.links[0].auth_done == ("pap", "")


def test_a_wrong_password_ends_the_link_with_a_cause_on_both_sides() -> None:
    for method in METHODS:
        pair = Pair(lns(auth_methods=(method,)), client(password="wrong", allow_methods=METHODS), answer=SERVER)
        pair.start()
        pair.run(60.0)
        (here,), (there,) = ([f for f in pair.facts[side] if isinstance(f, LinkDown)] for side in (0, 1))
        assert (here.cause, here.by_peer) == ("Authentication Failed", False)
        assert (there.cause, there.by_peer) == ("Authentication To Peer Failed", True)
        assert not pair.ups(0) and not pair.ups(1)


def test_a_client_without_the_method_ends_the_link_with_a_cause() -> None:
    pair = Pair(lns(auth_methods=("chap",)), client(allow_methods=("pap",)), answer=SERVER)
    pair.start()
    pair.run(60.0)
    down = [f for f in pair.facts[0] if isinstance(f, LinkDown)]
    assert [(d.cause, d.by_peer) for d in down] == [("Authentication Failed", True)]
    assert "refuses to authenticate" in down[0].message


def test_closing_tells_the_peer_and_takes_the_networks_down_first() -> None:
    pair = Pair(lns(), client(), answer=SERVER)
    pair.start()
    pair.run(5.0)
    pair.do(1, lambda link: link.close(pair.now, "User Request"))
    pair.run(20.0)
    for side in (0, 1):
        kinds = [type(fact) for fact in pair.facts[side]]
        assert kinds[-3:] == [NetworkDown, NetworkDown, LinkDown]
    assert pair.facts[0][-1].cause == "Peer Request"
    assert pair.facts[0][-1].by_peer
    assert pair.facts[1][-1].cause == "User Request"
    assert all(link.deadline() is None for link in pair.links)


def test_the_client_negotiates_lcp_anew_and_all_comes_back() -> None:
    pair = Pair(lns(), client(), answer=SERVER)
    pair.start()
    pair.run(5.0)
    lcp = pair.links[1].lcp

    def again(link: object) -> None:
        lcp.lower_down(pair.now)
        lcp.lower_up(pair.now)
        link._settle(pair.now)  # type: ignore[attr-defined]

    pair.do(1, again)
    pair.run(10.0)
    for side in (0, 1):
        words = [fact.protocol for fact in pair.facts[side] if isinstance(fact, NetworkUp)]
        assert sorted(words) == ["ip", "ip", "ipv6", "ipv6"]
        assert pair.is_up(side)


def test_rechallenges_go_on_while_the_link_is_up_and_are_no_new_grant() -> None:
    pair = Pair(lns(chap_interval=10.0), client(), answer=SERVER)
    pair.start()
    pair.run(35.0)
    asks = [fact for fact in pair.facts[0] if isinstance(fact, AskAuthentication)]
    assert [ask.renewal for ask in asks] == [False, True, True, True]
    assert len({ask.identifier for ask in asks}) == 4
    assert len({ask.challenge for ask in asks}) == 4
    assert len([fact for fact in pair.facts[0] if isinstance(fact, LinkAuthenticated)]) == 1
    assert pair.is_up(0) and pair.is_up(1)


def test_a_user_whose_password_changed_is_ended_by_the_next_rechallenge() -> None:
    pair = Pair(lns(chap_interval=10.0), client(), answer=SERVER)
    pair.start()
    pair.run(5.0)
    pair.answer = users(u1="other")
    pair.run(30.0)
    assert [f.cause for f in pair.facts[0] if isinstance(f, LinkDown)] == ["Authentication Failed"]


def test_a_dead_peer_is_noticed_by_echo() -> None:
    pair = Pair(lns(lcp_echo_interval=10.0, lcp_echo_failures=3), client(), answer=SERVER)
    pair.start()
    pair.run(25.0)
    assert pair.is_up(0)
    pair.rates = (1.0, 0.0, 0.0)
    pair.run(100.0, until=lambda: pair.links[0].over)
    down = pair.facts[0][-1]
    assert (down.cause, down.by_peer) == ("Peer Dead", False)
    assert pair.now < 25.0 + 50.0


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_line_ends_with_the_link_open_or_down_with_a_cause(seed: int) -> None:
    rate = (seed % 7) * 0.05
    method = METHODS[seed % len(METHODS)]
    pair = Pair(
        lns(auth_methods=(method,), lcp_echo_interval=10.0, lcp_echo_failures=5),
        client(
            password="pw1" if seed % 5 else "wrong",
            allow_methods=METHODS,
            lcp_echo_interval=10.0,
            lcp_echo_failures=5,
        ),
        seed=seed,
        loss=rate,
        duplicate=rate,
        reorder=rate,
        answer=SERVER,
    )
    pair.start()
    pair.run(400.0, until=pair.settled)
    assert pair.settled()
    for side, link in enumerate(pair.links):
        downs = [fact for fact in pair.facts[side] if isinstance(fact, LinkDown)]
        assert len(downs) == link.over
        if downs:
            assert downs[0].cause in CAUSES and downs[0].message
        elif side == 0:
            assert link.user == "u1" and seed % 5
    if rate == 0.0 and seed % 5:
        assert not pair.links[0].over and not pair.links[1].over
    # and an end of it: nothing hangs, nothing follows
    for side in (0, 1):
        if not pair.links[side].over:
            pair.do(side, lambda link: link.close(pair.now, "Admin Reset"))
    pair.run(60.0)
    for side, link in enumerate(pair.links):
        assert link.over and link.phase is Phase.DEAD
        assert link.deadline() is None
        facts = pair.facts[side]
        assert isinstance(facts[-1], LinkDown)
        for protocol in ("ip", "ipv6"):
            order = [
                type(f) for f in facts if isinstance(f, NetworkUp | NetworkDown) and f.protocol == protocol
            ]
            assert order == [NetworkUp, NetworkDown] * (len(order) // 2)


def test_nearly_every_link_comes_up_through_thirty_percent_loss() -> None:
    up = 0
    for seed in range(100):
        pair = Pair(lns(), client(), seed=seed, loss=0.3, duplicate=0.1, reorder=0.1, answer=SERVER)
        pair.start()
        pair.run(300.0, until=lambda pair=pair: pair.is_up(0) and pair.is_up(1))
        up += pair.is_up(0) and pair.is_up(1)
    assert up >= 95


class Corrupting(Pair):
    """A line that changes an octet in every fifth frame."""

    def _transmit(self, to: int, octets: bytes) -> None:
        if self.random.random() < 0.2:
            changed = bytearray(octets)
            changed[self.random.randrange(len(changed))] = self.random.randrange(256)
            octets = bytes(changed)
        super()._transmit(to, octets)


def test_no_corruption_lets_a_user_in_whom_the_server_does_not_know() -> None:
    in_time = 0
    for seed in range(200):
        pair = Corrupting(
            lns(auth_methods=("pap", "chap") if seed % 2 else ("chap",)),
            client(password="wrong", max_failure=2),
            seed=seed,
            loss=0.1,
            answer=SERVER,
        )
        pair.start()
        pair.run(400.0, until=lambda pair=pair: pair.links[0].over)
        in_time += pair.links[0].over
        assert not pair.ups(0)
        assert not any(isinstance(fact, LinkAuthenticated) for fact in pair.facts[0])
    assert in_time == 200
