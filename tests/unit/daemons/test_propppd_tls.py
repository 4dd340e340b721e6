"""Which certificates a profile has, whom they let in, and what is said when they cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from twisted.python import usage

from prol2tp.config.propppd import Profile, load
from prol2tp.daemons.propppd.aaa import Denied, LocalUsers, NotMine, Question
from prol2tp.daemons.propppd.service import load_config
from prol2tp.daemons.propppd.tls import MISSING, BadTLS, TLSProfiles
from tests.certificates import Authority
from tests.shell.propppd_world import CONFIG, LinksWorld, result


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.issue("lns", server=True)
    made.issue("u1@example.com")
    made.issue("other", alternative=[x509.RFC822Name("other@example.com")])
    return made


def words(authority: Authority, name: str = "lns") -> str:
    files = authority.files(name)
    return f"tls_ca {files.ca}; tls_certificate {files.certificate}; tls_key {files.key}"


def profile(text: str) -> Profile:
    return load(f'profile "p" {{ {text} }}', "x").profiles["p"]


def test_profiles_with_the_same_files_share_them_until_they_are_read_again(authority: Authority) -> None:
    profiles = TLSProfiles()
    first = profiles.of(profile(f"eap_methods tls; {words(authority)}"))
    assert first is not None
    assert profiles.of(profile(f"eap_allow_methods tls md5; {words(authority)}")) is first
    assert profiles.of(profile(f"eap_methods tls; tls_minimum 1.3; {words(authority)}")) is not first
    assert profiles.of(profile(words(authority))) is None
    profiles.forget()
    assert profiles.of(profile(f"eap_methods tls; {words(authority)}")) is not first


def test_without_the_packages_of_the_extra_one_line_says_what_to_install(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "prol2tp.net.eaptls", None)
    with pytest.raises(BadTLS) as raised:
        TLSProfiles().of(profile(f"eap_methods tls; {words(authority)}"))
    assert str(raised.value) == MISSING and "pip install 'prol2tp[eap]'" in MISSING
    path = tmp_path / "propppd.conf"
    path.write_text(f'profile "p" {{ eap_methods tls; {words(authority)} }}')
    with pytest.raises(usage.UsageError) as refused:
        load_config(str(path))
    assert str(refused.value) == f'{path}: profile "p": {MISSING}'
    path.write_text('profile "p" { eap_methods md5 }')
    assert load_config(str(path)).profiles["p"].eap_methods == ("md5",)


def test_a_file_that_is_missing_is_named_with_its_profile(tmp_path: Path) -> None:
    path = tmp_path / "propppd.conf"
    path.write_text('profile "p" { eap_methods tls; tls_ca /no/a; tls_certificate /no/b; tls_key /no/c }')
    with pytest.raises(usage.UsageError) as refused:
        load_config(str(path))
    assert str(refused.value) == f'{path}: profile "p": tls_ca /no/a: No such file or directory'


def test_a_link_that_is_created_with_eap_tls_needs_its_files_too() -> None:
    world = LinksWorld()
    near, _ = world.session()
    (error,) = world.attach(world.row(near))
    assert error is None
    with pytest.raises(BadTLS, match="EAP-TLS needs tls_ca, tls_certificate and tls_key"):
        TLSProfiles().of(Profile(eap_allow_methods=("tls",)))


USERS = load(
    'user "a" { password "secret" }\nuser "b" { certificate "b.example.com" }\nuser "c" { password "x" }', "t"
).users


def certified(user: str, *names: str) -> Any:
    return result(LocalUsers(USERS).authenticate(
        Question("tls", user, 1, b"", b"", b"", False, None, certificate=names)))  # fmt: skip


def test_a_certificate_lets_in_the_user_whom_it_names_and_nobody_else() -> None:
    assert certified("a", "a").user == "a"
    assert certified("b", "x", "b.example.com").user == "b"
    for user, names in (("a", ("b",)), ("b", ("b",)), ("a", ()), ("c", ("A", "a"))):
        with pytest.raises(Denied, match="Authentication failed"):
            certified(user, *names)
    with pytest.raises(NotMine):
        certified("stranger", "stranger")


def test_who_has_no_password_comes_in_by_no_password() -> None:
    for password in (b"", b"\0", b"b.example.com"):
        with pytest.raises(Denied):
            result(LocalUsers(USERS).authenticate(Question("pap", "b", 1, password, b"", b"", False, None)))


@pytest.mark.parametrize(("name", "good"), [("u1@example.com", True), ("other", False)])
def test_a_link_is_up_for_the_certificate_of_its_user_only(authority: Authority, name: str, good: bool) -> None:
    text = CONFIG.replace("auth_methods chap pap", f"auth_methods eap; eap_methods tls; {words(authority)}", 1)
    world = LinksWorld(text)
    engines = TLSProfiles().of(profile(f"eap_allow_methods tls; {words(authority, name)}"))
    client, link = world.client(password="", allow_methods=("eap",), eap_allow_methods=("tls",), tls=engines)
    world.settle(1)
    assert link.up == good
    if good:
        assert link.user == "u1@example.com" and link.core.mppe_keys == client.core.mppe_keys[::-1]
    else:
        assert link.cause == "Authentication Failed" and not client.networks


def test_files_are_read_anew_with_the_configuration(authority: Authority) -> None:
    text = CONFIG.replace("auth_methods chap pap", f"auth_methods eap; eap_methods tls; {words(authority)}", 1)
    world = LinksWorld(text)
    _, first = world.client()
    assert world.configure(text) == "nothing changed"
    _, second = world.client()
    assert first.core.settings.tls is not second.core.settings.tls
