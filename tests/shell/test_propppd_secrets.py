"""No password, key or proof is in any log line at any level, nor in what `propppctl show` prints, by any method."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prol2tp.cli import links
from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.status import ConfigCounts, Status
from prol2tp.net.eaptls import Certificates
from prol2tp.ppp import eappacket, frame, mschap
from tests.certificates import Authority
from tests.shell.propppd_world import CONFIG, LinksWorld
from tests.shell.test_log_lines import heard
from tests.shell.test_propppd_eap import EAPWorld

PASSWORD = "S3cret-of-u1"
TEXT = CONFIG.replace('"pw1"', f'"{PASSWORD}"')
METHODS = ("pap", "chap", "mschapv1", "mschapv2", "eap md5", "eap mschapv2")


def forms(secret: str | bytes) -> list[str]:
    """How a secret could look in a text."""
    octets = secret.encode() if isinstance(secret, str) else secret
    plain = [secret] if isinstance(secret, str) else []
    return [*plain, octets.hex(), octets.hex().upper(), octets.hex(" "), octets.hex(":"), repr(octets)[2:-1]]


def shown(world: Any, link: Any) -> str:
    """All that management can ask about a link."""
    status = Status(world.links, ConfigCounts(), "t", world.log)
    record = status.link(link)
    saved = json.dumps(link.core.to_record(0.0)) if link.up else ""
    return "\n".join((json.dumps(record), *links.link(record), json.dumps(status.row(link)), saved))


def secrets_of(world: Any, link: Any, *more: str | bytes) -> list[str]:
    found: list[str | bytes] = [PASSWORD, *more, mschap.nt_password_hash(PASSWORD)]
    if link.core.mppe_keys is not None:
        found += [link.core.mppe_keys.send, link.core.mppe_keys.receive]
    return [form for secret in found for form in forms(secret)]


@pytest.mark.parametrize("password", [PASSWORD, "Wr0ng-secret"])
@pytest.mark.parametrize("method", METHODS)
def test_we_as_the_authenticator_keep_secrets(method: str, password: str) -> None:
    method, _, inner = method.partition(" ")
    world = LinksWorld(TEXT.replace("auth_methods chap pap", f"auth_methods {method}", 1))
    lines = heard(world.log, Level.DEBUG)
    world.links.level_changed()
    allowed = {"allow_methods": (method,)} | ({"eap_allow_methods": (inner,)} if inner else {})
    client, link = world.client(password=password, **allowed)
    text = shown(world, link)
    world.later(5)
    assert link.up == (password == PASSWORD)
    assert any("rcvd" in line for line in lines), "the trace is on"
    for secret in secrets_of(world, link, password):
        assert secret not in text and not any(secret in line for line in lines)
    if link.up:
        link.close()
        world.later(1)
    assert not any(form in line for line in lines for form in forms(password))


@pytest.mark.parametrize("password", [PASSWORD, "Wr0ng-secret"])
@pytest.mark.parametrize("method", METHODS)
def test_we_as_the_user_keep_secrets(method: str, password: str) -> None:
    """The roles are exchanged: the far end demands, ours has the password of its session."""
    method, _, inner = method.partition(" ")
    world = LinksWorld(TEXT + f'profile "client" {{ allow_methods {method}; eap_allow_methods {inner or "md5"} }}')
    lines = heard(world.log, Level.DEBUG)
    world.links.level_changed()
    _, link = world.client("", "", "client", {"user_name": "me", "user_password": password, "lns": True},
                           auth=True, auth_methods=(method,), local_ip="10.0.0.1", peer_ip="10.0.0.2",
                           eap_methods=(inner or "md5",))  # fmt: skip
    text = shown(world, link)
    world.later(2)
    assert any("sent" in line for line in lines)
    for secret in secrets_of(world, link, password):
        assert secret not in text and not any(secret in line for line in lines)


@pytest.mark.parametrize("good", [True, False])
def test_passed_through_eap_keeps_the_keys_of_the_server(good: bool) -> None:
    world = EAPWorld()
    lines = heard(world.log, Level.DEBUG)
    world.links.level_changed()
    _, link = world.start(password=PASSWORD)
    world.challenge(frame.packet(eappacket.REQUEST, 7, b"\x04\x10" + bytes(16) + b"aaa"), state=b"state-of-server")
    if good:
        world.accept(mppe_send_key=b"send-key-of-".ljust(32, b"s"), mppe_recv_key=b"recv-key-of-".ljust(32, b"r"))
    assert link.up == good
    text = shown(world, link)
    for secret in secrets_of(world, link, "s3cret", b"send-key-of", b"recv-key-of", "state-of-server"):
        assert secret not in text and not any(secret in line for line in lines)


def test_eap_tls_keeps_its_keys(tmp_path: Any) -> None:
    authority = Authority(tmp_path)
    authority.issue("lns", server=True)
    authority.issue("u1@example.com")
    files = authority.files("lns")
    words = f"eap_methods tls; tls_ca {files.ca}; tls_certificate {files.certificate}; tls_key {files.key}"
    world = LinksWorld(TEXT.replace("auth_methods chap pap", f"auth_methods eap; {words}", 1))
    lines = heard(world.log, Level.DEBUG)
    world.links.level_changed()
    engines = Certificates(authority.files("u1@example.com"))
    _, link = world.client(allow_methods=("eap",), eap_allow_methods=("tls",), tls=engines)
    world.settle(1)
    assert link.up and link.core.mppe_keys is not None
    text = shown(world, link)
    for secret in secrets_of(world, link):
        assert secret not in text and not any(secret in line for line in lines)
