"""Two ends that prove themselves to each other by certificates: EAP-TLS on TLS 1.2 and 1.3, with real engines."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL

from prol2tp.net.eaptls import BadCertificate, Certificates, Files, _names
from prol2tp.ppp import frame
from prol2tp.ppp.link import Phase
from prol2tp.ppp.outputs import AskAuthentication, LinkDown
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.certificates import Authority
from tests.ppp_ends import Pair

LNS = LinkSettings(
    auth=True, auth_methods=("eap",), name="lns", local_ip="10.0.0.1", eap_methods=("tls",), eap_allow_methods=()
)
CLIENT = LinkSettings(user="u1", password="", allow_methods=("eap",), eap_allow_methods=("tls",))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.issue("lns.example.net", server=True, alternative=[x509.DNSName("lns.example.net")], padding=4000)
    made.issue("u1", alternative=[x509.RFC822Name("u1@example.com")])
    return made


def certificates(authority: Authority, name: str, version: str = "", **others: str) -> Certificates:
    made = Certificates(authority.files(name, **others))
    if version == "1.2":
        made._context.set_max_proto_version(SSL.TLS1_2_VERSION)
    elif version == "1.3":
        made._context.set_min_proto_version(SSL.TLS1_3_VERSION)
    return made


def certified(ask: AskAuthentication) -> Grant | str:
    """A shell that knows u1."""
    assert ask.method == "tls"
    return Grant(user="u1", peer_ip="10.0.0.99") if "u1@example.com" in ask.certificate else "not yours"


def pair(authority: Authority, version: str = "", client: str = "u1", lns: dict[str, Any] | None = None,
         other: dict[str, Any] | None = None, answer: Callable[..., Any] = certified, **line: Any) -> Pair:
    made = Pair(
        replace(LNS, **({"tls": certificates(authority, "lns.example.net", version)} | (lns or {}))),
        replace(CLIENT, **({"tls": certificates(authority, client)} | (other or {}))),
        answer=answer, **line,
    )  # fmt: skip
    made.start()
    made.run(60.0, until=made.settled)
    return made


def down(pair: Pair, side: int) -> LinkDown:
    return next(fact for fact in pair.facts[side] if isinstance(fact, LinkDown))


@pytest.mark.parametrize("mru", [1500, 296, 128])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_ends_are_up_with_the_same_keys_whatever_fits_into_a_packet(
    authority: Authority, version: str, mru: int
) -> None:
    made = pair(authority, version, lns={"mru": mru}, other={"mru": mru, "eap_max_received": 100})
    ours, theirs = made.links
    assert made.is_up(0) and made.is_up(1)
    assert (ours.auth_done, theirs.auth_done, ours.user) == (("eap", ""), ("", "eap"), "u1")
    assert ours.mppe_keys is not None and theirs.mppe_keys is not None
    assert (ours.mppe_keys.send, ours.mppe_keys.receive) == (theirs.mppe_keys.receive, theirs.mppe_keys.send)
    assert len(ours.mppe_keys.send) == len(ours.mppe_keys.receive) == 32
    (question,) = (fact for fact in made.facts[0] if isinstance(fact, AskAuthentication))
    assert question.certificate == ("u1@example.com", "u1")
    assert ours.eap is not None and theirs.eap is not None
    assert ours.eap._tls is None and theirs.eap._peer_tls is None


@pytest.mark.parametrize("seed", range(20))
def test_a_bad_line_delays_the_exchange_and_does_not_spoil_it(authority: Authority, seed: int) -> None:
    made = pair(
        authority, "1.3" if seed % 2 else "1.2", seed=seed, loss=0.1, duplicate=0.1, reorder=0.1,
        lns={"auth_deadline": 0.0}, other={"auth_deadline": 0.0},
    )  # fmt: skip
    assert made.is_up(0) or made.links[0].over
    if made.is_up(0):
        assert made.links[0].user == "u1"


def test_nearly_every_exchange_gets_through_a_bad_line(authority: Authority) -> None:
    up = 0
    for seed in range(30):
        made = pair(authority, seed=seed, loss=0.1, duplicate=0.1)
        up += made.is_up(0) and made.is_up(1)
    assert up >= 27


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_whom_the_shell_refuses_stays_out_though_the_certificate_is_good(authority: Authority, version: str) -> None:
    made = pair(authority, version, answer=lambda ask: "no such user")
    assert not made.ups(0) and not made.ups(1)
    assert (down(made, 0).cause, down(made, 0).message) == ("Authentication Failed", "no such user")
    assert down(made, 1).cause == "Authentication To Peer Failed"
    assert made.links[0].mppe_keys is None


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_certificates_that_prove_nothing_let_nobody_in(authority: Authority, version: str, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "another authority")
    stranger.issue("u1", alternative=[x509.RFC822Name("u1@example.com")])
    authority.issue("old", age=60)
    authority.issue("u9", server=True)
    foreign = Certificates(replace_ca(stranger.files("u1"), authority))
    for client, reason in (
        (foreign, "comes from an authority that is not one of tls_ca"),
        (certificates(authority, "old"), "the certificate of old has expired"),
        (certificates(authority, "u9"), "is not for this purpose"),
    ):
        made = pair(authority, version, other={"tls": client})
        assert not made.ups(0) and not any(isinstance(fact, AskAuthentication) for fact in made.facts[0])
        assert down(made, 0).cause == "Authentication Failed" and reason in down(made, 0).message


def replace_ca(files: Files, authority: Authority) -> Files:
    return replace(files, ca=authority.path)


def test_a_revoked_certificate_is_refused_where_a_list_is_given(authority: Authority) -> None:
    revoked = authority.issue("lost", alternative=[x509.RFC822Name("u1@example.com")])
    listed = authority.revoke(revoked)
    for name, good in (("lost", False), ("u1", True)):
        made = pair(authority, client=name, lns={"tls": certificates(authority, "lns.example.net", crl=listed)})
        assert bool(made.ups(0)) == good
        assert good or "is revoked" in down(made, 0).message


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_leaves_a_server_that_is_not_the_one_it_wants(
    authority: Authority, version: str, tmp_path: Path
) -> None:
    for server_name, good in (("LNS.example.net", True), ("other.example.net", False)):
        made = pair(authority, version, other={"tls": certificates(authority, "u1", server_name=server_name)})
        assert bool(made.ups(1)) == good
        assert good or "does not name other.example.net" in down(made, 1).message
    stranger = Authority(tmp_path, "another authority")
    stranger.issue("u1")
    client = Certificates(replace(authority.files("u1"), ca=stranger.path))
    made = pair(authority, version, other={"tls": client})
    assert not made.ups(1) and "not one of tls_ca" in down(made, 1).message


def test_an_old_version_is_not_spoken(authority: Authority) -> None:
    made = pair(authority, "1.2", other={"tls": certificates(authority, "u1", minimum="1.3")})
    assert not made.ups(0) and not made.ups(1)


def test_a_client_without_certificates_gets_another_method_or_none(authority: Authority) -> None:
    only = {"tls": None, "eap_allow_methods": ("tls", "md5"), "password": "pw1"}
    made = pair(authority, other=only)
    assert not made.ups(0) and down(made, 0).cause == "Authentication Failed"
    asked: list[str] = []

    def answer(ask: AskAuthentication) -> Grant:
        asked.append(ask.method)
        return Grant(user="u1", peer_ip="10.0.0.99")

    made = pair(authority, lns={"eap_methods": ("tls", "md5")}, other=only, answer=answer)
    assert made.is_up(0) and asked == ["chap"]


def shaken(authority: Authority, version: str) -> tuple[Any, Any]:
    """Two engines that have heard all of each other."""
    server = certificates(authority, "lns.example.net", version)(True)
    client = certificates(authority, "u1")(False)
    said = client.receive(b"")
    for _ in range(3):
        said = client.receive(server.receive(said))
    assert server.done and client.done and not server.failure and not client.failure
    return server, client


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_close_after_the_handshake_is_no_objection_and_data_is_one(authority: Authority, version: str) -> None:
    server, client = shaken(authority, version)
    client._connection.shutdown()
    server.receive(client._written())
    assert server.done and not server.failure
    server, client = shaken(authority, version)
    client._connection.send(b"GET / HTTP/1.1")
    server.receive(client._written())
    assert not server.done and "only the handshake belongs" in server.failure


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_close_before_the_end_is_a_failure(authority: Authority, version: str) -> None:
    server = certificates(authority, "lns.example.net", version)(True)
    server.receive(certificates(authority, "u1")(False).receive(b""))
    server.receive(b"\x15\x03\x03\x00\x02\x01\x00")
    assert not server.done and server.failure


def test_octets_that_are_no_tls_are_a_failure_in_words(authority: Authority) -> None:
    rng = random.Random(1)
    for number in range(300):
        server = bool(number % 2)
        engine = certificates(authority, "lns.example.net" if server else "u1")(server)
        if not server:
            engine.receive(b"")
        for _ in range(4):
            engine.receive(rng.randbytes(rng.randrange(1, 200)))
        assert not engine.done and "\n" not in engine.failure


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_damaged_records_never_end_well_at_either_end(authority: Authority, version: str) -> None:
    rng = random.Random(version)
    makers = certificates(authority, "lns.example.net", version), certificates(authority, "u1")
    for number in range(150):
        server, client = makers[0](True), makers[1](False)
        damaged_at = number % 3
        said = client.receive(b"")
        for turn in range(4):
            for to in (server, client):
                if turn * 2 + (to is client) == damaged_at and said:
                    place = rng.randrange(len(said))
                    said = said[:place] + bytes((said[place] ^ 1 << rng.randrange(8),)) + said[place + 1 :]
                said = to.receive(said) if said else b""
        assert not (server.done and client.done) or server.key_material() == client.key_material()


PRINCIPAL = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


@pytest.mark.parametrize(
    ("alternative", "names"),
    [
        ([], ("who",)),
        ([x509.RFC822Name("a@b.example"), x509.DNSName("host.example")], ("a@b.example", "host.example", "who")),
        ([x509.OtherName(PRINCIPAL, b"\x0c\x09u1@domain")], ("u1@domain", "who")),
        ([x509.OtherName(PRINCIPAL, b"\x0c\x02\xff\xfe")], ("\ufffd\ufffd", "who")),
        ([x509.OtherName(PRINCIPAL, b"\x0c\x81\xc8" + b"u" * 200)], ("u" * 200, "who")),
        ([x509.OtherName(PRINCIPAL, b"\x0c\x82\x01\x2c" + b"u" * 300)], ("who",)),
        ([x509.OtherName(PRINCIPAL, b"\x0c\x00")], ("", "who")),
        ([x509.OtherName(PRINCIPAL, b"\x16\x03abc")], ("who",)),
        ([x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x03abc")], ("who",)),
        ([x509.UniformResourceIdentifier("https://u1")], ("who",)),
    ],
)
def test_names_of_a_certificate_are_those_that_a_user_can_have(
    tmp_path: Path, alternative: list[x509.GeneralName], names: tuple[str, ...]
) -> None:
    assert tuple(_names(Authority(tmp_path).issue("who", alternative=alternative))) == names


class Tampering(Pair):
    """Changes one octet of one packet of the exchange."""

    place = (0, 0)

    def _transmit(self, to: int, octets: bytes) -> None:
        self.count = getattr(self, "count", 0) + (octets[2:4] == frame.EAP.to_bytes(2, "big"))
        number, at = self.place
        if self.count == number and len(octets) > 16:
            where = 10 + at % (len(octets) - 10)
            octets = octets[:where] + bytes((octets[where] ^ 0x55,)) + octets[where + 1 :]
            self.count += 1
        super()._transmit(to, octets)


@pytest.mark.parametrize("number", range(3, 16))
def test_no_octet_can_be_changed_on_the_way_without_being_noticed(authority: Authority, number: int) -> None:
    lns = replace(LNS, tls=certificates(authority, "lns.example.net"))
    client = replace(CLIENT, tls=certificates(authority, "u1"))
    for at in (0, 7, 100, 333, 1000):
        made = Tampering(lns, client, answer=certified)
        made.place = (number, at)
        made.start()
        made.run(90.0, until=made.settled)
        assert made.links[0].over or made.links[0].phase is Phase.NETWORK
        assert made.links[0].over or made.links[0].user == "u1"


@pytest.mark.parametrize(
    ("parameter", "content", "reason"),
    [
        ("ca", None, "tls_ca .*: No such file or directory"),
        ("certificate", None, "tls_certificate .*: No such file or directory"),
        ("key", None, "tls_key .*: No such file or directory"),
        ("ca", b"", "tls_ca .*: not what is wanted there"),
        ("certificate", b"junk", "tls_certificate .*: not what is wanted there"),
        ("key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "tls_key .*: not what is wanted"),
        ("crl", b"junk", "tls_crl .*: not what is wanted there"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(
    authority: Authority, tmp_path: Path, parameter: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadCertificate, match=reason) as raised:
        Certificates(replace(authority.files("u1"), **{parameter: str(path)}))
    assert "\n" not in str(raised.value)


def test_a_key_of_another_certificate_or_with_a_passphrase_is_refused(authority: Authority) -> None:
    with pytest.raises(BadCertificate, match="tls_key .* is not the key of tls_certificate"):
        Certificates(replace(authority.files("u1"), key=authority.files("lns.example.net").key))
    hidden = authority.write_key("hidden.key", authority.key, b"secret")
    with pytest.raises(BadCertificate, match="tls_key .*: not what is wanted there"):
        Certificates(replace(authority.files("u1"), key=hidden))
