"""Who is let in."""

from __future__ import annotations

import pytest
from twisted.internet.defer import fail, succeed
from zope.interface.verify import verifyObject

from prol2tp.config.propppd import load
from prol2tp.daemons.propppd.aaa import Chain, Denied, IAuthentication, LocalUsers, NotMine, Question
from prol2tp.daemons.propppd.rows import carrier_of
from prol2tp.ppp import mschap
from prol2tp.ppp.chap import md5_response
from prol2tp.ppp.settings import Grant
from tests.shell.propppd_world import result

USERS = load('user "a" { password "secret"; ip 10.0.0.9; routes 192.0.2.0/24; idle_timeout 60 }', "t").users
CHALLENGE = bytes(range(16))


def pap(user, password):
    return Question("pap", user, 1, password.encode(), b"", b"", False, None)


def chap(user, password, identifier=7):
    response = md5_response(7, password.encode(), CHALLENGE)
    return Question("chap", user, identifier, b"", CHALLENGE, response, False, None)


@pytest.mark.parametrize("question", [pap("a", "secret"), chap("a", "secret")])
def test_the_right_password_gives_what_the_user_block_says(question):
    grant = result(LocalUsers(USERS).authenticate(question))
    assert (grant.user, grant.peer_ip, [route.prefix for route in grant.authorization.routes], grant.idle_timeout) == (
        "a", "10.0.0.9", ["192.0.2.0/24"], 60)


@pytest.mark.parametrize("question", [
    pap("a", "Secret"), pap("a", ""), chap("a", "other"), chap("a", "secret", identifier=8),
    Question("chap", "a", 7, b"", CHALLENGE, b"short", False, None),
    Question("word", "a", 1, b"", b"", b"", False, None),
])
def test_anything_else_is_denied_in_the_same_words(question):
    with pytest.raises(Denied) as denied:
        result(LocalUsers(USERS).authenticate(question))
    assert denied.value.message == "Authentication failed"


@pytest.mark.parametrize("password", ["", "\0", "secret"])
def test_no_password_opens_an_unknown_name(password):
    with pytest.raises(NotMine):
        result(LocalUsers(USERS).authenticate(pap("b", password)))
    with pytest.raises(Denied, match="Authentication failed") as denied:
        result(Chain([LocalUsers(USERS)]).authenticate(pap("b", password)))
    # told as a wrong password is: another try is allowed
    assert (denied.value.error, denied.value.retry) == (691, True)


class Source:
    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    def authenticate(self, question):
        self.asked += 1
        return succeed(self.answer) if isinstance(self.answer, Grant) else fail(self.answer)


def test_sources_are_asked_in_order_until_one_knows_the_user():
    sources = [Source(NotMine()), Source(Grant(user="x")), Source(Grant(user="y"))]
    assert result(Chain(sources).authenticate(pap("q", "w"))).user == "x"
    assert [source.asked for source in sources] == [1, 1, 0]


def test_a_source_that_denies_is_the_last_that_is_asked():
    sources = [Source(Denied()), Source(Grant(user="y"))]
    with pytest.raises(Denied):
        result(Chain(sources).authenticate(pap("q", "w")))
    assert sources[1].asked == 0


def test_the_sources_are_what_the_interface_says():
    verifyObject(IAuthentication, LocalUsers({}))
    verifyObject(IAuthentication, Chain([]))


def test_a_question_does_not_show_its_secrets():
    assert "secret" not in repr(pap("a", "secret"))


@pytest.mark.parametrize(("field", "value"), [("id", 5), ("port", "5"), ("port", True), ("lns", 1),
                                              ("ppp_profile", None)])
def test_a_row_of_another_shape_is_refused(field, value):
    row = {"id": "1/2", "port": 3, "tunnel_id": 1, "session_id": 2, "ppp_profile": "p", field: value}
    with pytest.raises(ValueError, match=field):
        carrier_of(row)


PEER_CHALLENGE = bytes(range(16, 32))


def microsoft(method, user, password, name=None):
    nt_hash = mschap.nt_password_hash(password)
    name = (user if name is None else name).encode()
    if method == "mschapv1":
        return Question(method, user, 1, b"", CHALLENGE[:8], mschap.challenge_response(CHALLENGE[:8], nt_hash), False,
                        None, flags=1, name=name)
    response = mschap.nt_response(CHALLENGE, PEER_CHALLENGE, name, nt_hash)
    return Question(method, user, 1, b"", CHALLENGE, response, False, None, PEER_CHALLENGE, name=name)


@pytest.mark.parametrize("method", ["mschapv1", "mschapv2"])
def test_local_users_answer_the_methods_of_microsoft(method):
    grant = result(LocalUsers(USERS).authenticate(microsoft(method, "a", "secret")))
    assert (grant.user, grant.peer_ip) == ("a", "10.0.0.9")
    assert len(grant.mppe_send_key) == len(grant.mppe_receive_key) == 16
    assert grant.authenticator_response.startswith("S=") == (method == "mschapv2")
    assert repr(grant.mppe_send_key) not in repr(grant)
    with pytest.raises(Denied) as denied:
        result(LocalUsers(USERS).authenticate(microsoft(method, "a", "wrong")))
    assert (denied.value.error, denied.value.retry) == (691, True)
    with pytest.raises(NotMine):
        result(LocalUsers(USERS).authenticate(microsoft(method, "b", "\0")))
    short = microsoft(method, "a", "secret")
    short.response = b""
    with pytest.raises(Denied):
        result(LocalUsers(USERS).authenticate(short))
