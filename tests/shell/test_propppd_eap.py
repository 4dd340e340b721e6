"""EAP of users whom RADIUS knows (RFC 3579), beside that of local users; and challenges that nobody can judge."""

from __future__ import annotations

from typing import Any

import pytest

from prol2tp.daemons.propppd.aaa import Question
from prol2tp.ppp import eappacket, frame, mppe, mschap
from prol2tp.ppp.challenge import md5_response
from prol2tp.ppp.link import Phase
from prol2tp.radius.answer import Answer
from prol2tp.radius.outputs import Challenged, NoAnswer, Rejected
from tests.shell.propppd_world import Client
from tests.shell.test_log_lines import heard
from tests.shell.test_propppd_radius import TEXT, RadiusWorld

EAP = {"allow_methods": ("eap",)}
CHALLENGE = bytes(range(16))


class EAPWorld(RadiusWorld):
    def __init__(self, methods: str = "eap", extra: str = "") -> None:
        super().__init__()
        self.configure(TEXT.replace("auth_methods chap pap", f"auth_methods {methods}; {extra}", 1))

    def start(self, user: str = "r@example.com", password: str = "pw", **settings: Any) -> tuple[Client, Any]:
        return self.client(user, password, **({**EAP, "eap_allow_methods": ("md5",)} | settings))

    def challenge(self, packet: bytes, **values: Any) -> None:
        self.server.asked.pop()[1].callback(Challenged(1, Answer(eap_message=packet, **values), "r2"))
        self.settle()


@pytest.fixture
def world() -> EAPWorld:
    return EAPWorld()


def md5_request(identifier: int) -> bytes:
    return frame.packet(eappacket.REQUEST, identifier, b"\x04\x10" + CHALLENGE + b"aaa")


def test_the_packets_of_the_user_go_to_the_server_with_its_state_and_its_requests_to_the_user(world: EAPWorld) -> None:
    client, link = world.start()
    record = world.server.asked[0][0]
    assert (record.method, record.user, record.state, world.server.preferred) == ("eap", b"r@example.com", b"", "")
    assert record.eap_message[:1] == b"\x02" and record.eap_message[4:] == b"\x01r@example.com"
    assert record.framed_mtu == link.mtu and link.radius == "AUTH_EAP_REQ"
    world.challenge(md5_request(77), state=b"st-1")
    assert link.radius == "AUTH_EAP_REQ" and not link.up
    record = world.server.asked[0][0]
    assert (record.state, world.server.preferred, record.user) == (b"st-1", "r2", b"r@example.com")
    digest = md5_response(77, b"pw", CHALLENGE)
    assert record.eap_message == frame.packet(eappacket.RESPONSE, 77, b"\x04\x10" + digest + b"r@example.com")
    world.accept(eap_message=frame.packet(eappacket.SUCCESS, 77), user_name="alias", mppe_send_key=b"s" * 32,
                 mppe_recv_key=b"r" * 32)
    assert link.up and client.networks["ip"].local == "10.1.2.3"
    assert (link.user, link.radius, link.core.auth_done) == ("alias", "AUTH_EAP_ACK", ("eap", ""))
    assert link.core.mppe_keys == mppe.Keys(b"s" * 32, b"r" * 32)


def test_who_says_no_name_is_asked_about_by_the_number_that_calls(world: EAPWorld) -> None:
    _, link = world.start(row={"calling_number": "0123", "lns": True})
    for name, expected in ((b"", b"0123"), (b"me", b"me")):
        question = Question("eap", name.decode(), 1, b"", b"", b"", False, link, name=name)
        assert world.source._request(question).user == expected


def test_the_first_packet_of_an_exchange_begins_a_new_one(world: EAPWorld) -> None:
    client, link = world.start()
    world.challenge(md5_request(77), state=b"st-1")
    world.server.asked.clear()
    client.core.lcp.lower_down(world.clock.seconds())
    client.core.lcp.lower_up(world.clock.seconds())
    client.driver.call(client.core.receive, b"")
    world.later(5)
    assert link.question is not None and not world.server.asked  # the answer to the old question is awaited
    client, link = world.start("s@example.com")
    assert world.server.asked[-1][0].state == b"" and world.server.preferred == ""


def test_a_server_tells_how_long_a_user_may_need(world: EAPWorld) -> None:
    client, link = world.start(eap_timeout=0.0, auth_deadline=0.0)
    world.far.port_receiver(client.port, lambda frame: None)  # the user thinks
    sent = []
    world.links.dataplane.port_send = lambda port, frame: sent.append(frame)
    world.challenge(frame.packet(1, 9, b"\x06Code?"), session_timeout=30)
    world.later(29)
    assert len(sent) == 1
    world.later(2)
    assert len(sent) == 2
    assert link.core.eap.our_at == pytest.approx(world.clock.seconds() + 29, abs=2)


def test_an_accept_without_eap_is_a_success_and_one_with_a_failure_is_none(world: EAPWorld) -> None:
    _, link = world.start()
    sent: list[bytes] = []
    world.links.dataplane.port_send = lambda port, frame: sent.append(frame)
    world.accept()
    assert codes(sent) == [eappacket.SUCCESS] and link.core.phase is Phase.NETWORK
    del world.near.port_send
    lines = heard(world.log)
    for packet in (frame.packet(eappacket.FAILURE, 5), md5_request(5)):
        client, link = world.start("s@example.com")
        world.accept(eap_message=packet, framed_ip_address="10.1.2.4")
        assert not link.up and not client.networks
        assert "accepts the user without an EAP Success" in lines.pop()


def codes(sent: list[bytes]) -> list[int]:
    """Of the EAP packets among frames."""
    found = [(octets, *frame.read_header(octets)) for octets in sent]
    return [octets[start] for octets, protocol, start in found if protocol == frame.EAP]


@pytest.mark.parametrize("answer", [
    Rejected(1, Answer(reply_message="go away"), "r1"),
    Rejected(1, Answer(eap_message=frame.packet(eappacket.FAILURE, 1), reply_message="go away"), "r1"),
    Rejected(1, Answer(eap_message=frame.packet(eappacket.SUCCESS, 1), reply_message="go away"), "r1"),
])
def test_a_rejected_user_gets_a_failure_whatever_is_inside(world: EAPWorld, answer: Rejected) -> None:
    sent: list[bytes] = []
    send = world.near.port_send
    world.links.dataplane.port_send = lambda port, frame: (sent.append(frame), send(port, frame))
    client, link = world.start()
    world.answer(answer)
    assert codes(sent) == [eappacket.REQUEST, eappacket.FAILURE]
    assert not link.up and client.down is not None and link.message == "go away"


@pytest.mark.parametrize("packet", [b"", frame.packet(3, 1), frame.packet(4, 1), frame.packet(2, 1, b"\4")])
def test_a_challenge_without_a_request_is_a_rejection(world: EAPWorld, packet: bytes) -> None:
    client, link = world.start()
    lines = heard(world.log)
    world.challenge(packet, state=b"x")
    world.later(1)
    assert client.down is not None and not link.up
    assert "wants to ask once more" in lines[0]


@pytest.mark.parametrize("packet", [b"\x01", b"\x01\x05\0\x04", b"\x01\x05\xff\xff\x04", b"\x01\x05\0\x06\x04",
                                    frame.packet(1, 5, bytes(3000))])
def test_a_request_that_no_link_could_carry_ends_the_link(world: EAPWorld, packet: bytes) -> None:
    client, link = world.start()
    world.challenge(packet)
    world.later(1)
    assert not link.up and client.down is not None
    assert "no EAP Request that the link could carry" in link.message


@pytest.mark.parametrize("inner", ["md5", "mschapv2"])
def test_local_users_are_asked_here_and_all_others_by_the_server(world: EAPWorld, inner: str) -> None:
    _, link = world.start("u1@example.com", "pw1", eap_allow_methods=(inner,))
    assert link.up and link.user == "u1@example.com" and not link.radius and not world.server.asked
    _, link = world.start("u1@example.com", "wrong", eap_allow_methods=(inner,))
    world.later(5)
    assert not link.up and not world.server.asked and link.cause == "Authentication Failed"
    _, link = world.start()
    assert link.radius == "AUTH_EAP_REQ"


def test_a_user_who_becomes_local_in_the_midst_stays_with_the_server(world: EAPWorld) -> None:
    _, link = world.start()
    world.configure(world_text() + 'user "r@example.com" { password "pw" }')
    world.challenge(md5_request(3), state=b"x")
    assert world.server.asked[0][0].state == b"x"
    world.accept(eap_message=frame.packet(eappacket.SUCCESS, 3))
    assert link.up


def world_text() -> str:
    return TEXT.replace("auth_methods chap pap", "auth_methods eap", 1)


def test_no_answer_about_a_new_user_is_a_no(world: EAPWorld) -> None:
    client, link = world.start()
    world.answer(NoAnswer(1, "no server answered in time"))
    assert client.down is not None and link.radius == "AUTH_EAP_TIMEOUT"


# challenges while the link is up


def online(method: str) -> tuple[EAPWorld, Client, Any]:
    world = EAPWorld(method, "chap_interval 60")
    client, link = world.client("r@example.com", "pw", allow_methods=(method,))
    accept(world)
    assert link.up
    return world, client, link


def accept(world: EAPWorld) -> None:
    record = world.server.asked[-1][0]
    said = ""
    if record.method == "mschapv2":
        parts = (record.response, record.peer_challenge, record.challenge, record.user)
        said = mschap.authenticator_response(mschap.nt_password_hash("pw"), *parts)
    world.accept(mschap2_success=said)


@pytest.mark.parametrize("method", ["chap", "mschapv1", "mschapv2"])
def test_a_user_who_is_online_stays_while_no_server_answers_and_is_asked_again(method: str) -> None:
    world, client, link = online(method)
    lines = heard(world.log)
    for _ in range(3):
        world.later(60)
        (question,) = world.server.asked
        assert question[0].method == method
        world.answer(NoAnswer(1, "no server answered in time"))
        assert "challenged again, and r@example.com stays: no answer from RADIUS" in lines[-1]
        world.later(40)
        assert link.up and client.down is None and not client.core.over
    world.later(25)
    accept(world)
    assert link.up and link.radius == f"AUTH_{method.upper()}_ACK"
    world.later(65)
    world.answer(Rejected(1, Answer(), "r1"))
    world.later(30)
    assert not link.up and client.down is not None


@pytest.mark.parametrize("method", ["chap", "mschapv2"])
def test_a_fault_of_ours_throws_nobody_out_and_lets_nobody_in(method: str) -> None:
    world, client, link = online(method)
    world.later(60)
    world.server.asked.pop()[1].errback(RuntimeError("a fault"))
    world.settle()
    world.later(5)
    assert link.up and client.down is None
    other, newcomer = world.client("s@example.com", "pw", allow_methods=(method,))
    world.server.asked.pop()[1].errback(RuntimeError("a fault"))
    world.later(5)
    assert not newcomer.up and other.down is not None


@pytest.mark.parametrize("method", ["chap", "mschapv2"])
def test_a_dead_server_lets_nobody_in_who_answers_a_challenge_anew(method: str) -> None:
    """After LCP has started again the user has to prove himself as at the beginning."""
    world, client, link = online(method)
    client.driver.call(client.core.receive, frame.header(frame.LCP) + frame.packet(1, 200, b"\x05\x06abcd"))
    link.receive(frame.header(frame.LCP) + frame.packet(1, 201, b"\x05\x06abcd"))
    world.later(3)
    if world.server.asked:
        world.answer(NoAnswer(1, "no server answered in time"))
    world.later(60)
    assert not link.up


@pytest.mark.parametrize(("reply", "error", "told"), [
    ("", "E=648 R=0 C=00 V=3 M=Your password is old", "Your password is old (password expired, 648)"),
    ("Call us", "E=691 R=0 V=3 M=no", "Call us (authentication failure, 691)"),
    ("", "E=649 R=0", "Authentication failed (no dial-in permission, 649)"),
    ("", "", "Authentication failed (authentication failure, 691)"),
    ("", "nonsense", "Authentication failed (authentication failure, 691)"),
])
def test_the_user_reads_the_error_of_mschap_in_the_words_of_the_server(reply: str, error: str, told: str) -> None:
    world = EAPWorld("mschapv2")
    client, _ = world.client("r@example.com", "pw", allow_methods=("mschapv2",))
    world.answer(Rejected(1, Answer(reply_message=reply, mschap_error=error), "r1"))
    world.later(2)
    assert client.down is not None and client.down.message == told


def test_a_server_may_let_the_user_try_again() -> None:
    world = EAPWorld("mschapv2")
    client, link = world.client("r@example.com", "pw", allow_methods=("mschapv2",))
    first = world.server.asked[0][0]
    world.far.port_receiver(client.port, lambda frame: None)  # a person types
    world.server.asked.pop()[1].callback(Rejected(1, Answer(mschap_error="E=691 R=1 C=00 V=3 M=no"), "r1"))
    assert not link.ended and link.core.chap.our_state.name == "RETRY"
    assert link.core.chap._challenge != first.challenge


def test_keys_of_mschapv1_come_from_what_the_server_gives() -> None:
    world = EAPWorld("mschapv1")
    client, link = world.client("r@example.com", "pw", allow_methods=("mschapv1",))
    record = world.server.asked[0][0]
    nt_hash = mschap.nt_password_hash("pw")
    hashed = mschap.hash_nt_password_hash(nt_hash)
    world.accept(mschap_mppe_keys=bytes(8) + hashed + bytes(8))
    expected = mppe.start_key_v1(nt_hash, record.challenge)
    assert link.core.mppe_keys == mppe.Keys(expected, expected)
    client, link = world.client("s@example.com", "pw", allow_methods=("mschapv1",))
    world.accept(mschap_mppe_keys=bytes(32), framed_ip_address="10.1.2.4")
    assert link.up and link.core.mppe_keys is None


def test_a_server_may_insist_on_encryption_and_then_no_link_is_up_without() -> None:
    world = EAPWorld("mschapv1")
    client, link = world.client("r@example.com", "pw", allow_methods=("mschapv1",))
    world.accept(mppe_policy=2, mppe_types=4, mschap_mppe_keys=bytes(8) + b"k" * 16 + bytes(8))
    assert not link.up and not client.networks
    assert "encryption (MPPE) is required, and the data path has none" in link.message
