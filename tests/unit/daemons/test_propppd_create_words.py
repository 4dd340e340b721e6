"""pppd's words about authentication and encryption in `propppctl create`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from prol2tp.config.propppd import link_settings, load
from prol2tp.control.command import Invalid
from prol2tp.daemons.propppd import create
from prol2tp.ppp.auth import PEER_METHODS

SESSION = ["pppol2tp", "tunnel-id", "1", "session-id", "2"]


def settings(words: str, profile: str = "") -> dict[str, Any]:
    """What the core is told for these words, over a profile."""
    request = create.parse([*SESSION, *words.split()])
    default = load(f'profile "default" {{ {profile} }}', "x").profiles["default"]
    return link_settings(replace(default, **create.check(request.options)))


@pytest.mark.parametrize(("word", "method"), [
    ("pap", "pap"), ("chap", "chap"), ("mschap", "mschapv1"), ("mschap-v2", "mschapv2"), ("mschapv1", "mschapv1"),
    ("mschapv2", "mschapv2"), ("eap", "eap"),
])
def test_every_method_can_be_required_and_refused(word: str, method: str) -> None:
    assert method in PEER_METHODS
    required = settings(f"require-{word}")
    assert required["auth"] and required["auth_methods"] == (method,)
    allowed = "allow_methods pap chap mschapv1 mschapv2 eap"
    refused = settings(f"refuse-{word}", allowed)
    assert set(refused["allow_methods"]) == set(PEER_METHODS) - {method}
    assert not refused["auth"] and refused["auth_methods"] == ("chap", "pap")


def test_words_add_up_in_their_order() -> None:
    assert settings("require-mschap-v2 require-chap require-mschapv2")["auth_methods"] == ("mschapv2", "chap")
    assert settings("refuse-pap refuse-chap refuse-pap", "allow_methods eap chap pap")["allow_methods"] == ("eap",)
    assert settings("refuse-pap", "refuse_methods chap")["allow_methods"] == ("chap",)


def test_who_refuses_everything_is_told_so() -> None:
    words = [f"refuse-{word}" for word in ("pap", "chap", "mschap", "mschap-v2", "eap")]
    with pytest.raises(Invalid, match="leave one"):
        create.parse([*SESSION, *words])


@pytest.mark.parametrize("word", ["require-nothing", "refuse-mppe-128", "require-", "refuse", "require-mppe-64"])
def test_other_words_are_unknown(word: str) -> None:
    with pytest.raises(Invalid, match="there is no option"):
        create.parse([*SESSION, word])


@pytest.mark.parametrize(("words", "required", "strengths", "stateful"), [
    ("require-mppe", True, (128,), False),
    ("require-mppe-128", True, (128,), False),
    ("require-mppe-128 require-mppe-40", True, (128, 40), False),
    ("require-mppe-56 mppe-stateful", True, (56,), True),
    ("require-mppe nomppe mppe-stateful nomppe-stateful", False, (128,), False),
    ("mppe-required true mppe_strengths 56", True, (56,), False),
])
def test_encryption_is_asked_for_in_pppds_words(
    words: str, required: bool, strengths: tuple[int, ...], stateful: bool
) -> None:
    made = settings(words)
    assert (made["mppe_required"], made["mppe_strengths"], made["mppe_stateful"]) == (required, strengths, stateful)


@pytest.mark.parametrize(("words", "codecs"), [
    ("", ("predictor1",)),
    ("noccp", ()),
    ("deflate 15,15", ("deflate",)),
    ("deflate 15 predictor1", ("deflate", "predictor1")),
    ("predictor1 nodeflate deflate 15 deflate 0,0 nobsdcomp", ("predictor1",)),
    ("nopredictor1", ()),
    ("ccp deflate", ("deflate",)),
])
def test_compression_is_asked_for_in_pppds_words(words: str, codecs: tuple[str, ...]) -> None:
    assert settings(words, "ccp predictor1")["codecs"] == codecs


@pytest.mark.parametrize(("words", "wrong"), [
    ("deflate 9", "15, or 0"), ("deflate", "needs a value"), ("deflate 15,0", "15, or 0"), ("ccp bsd", "BSD-Compress"),
])
def test_compression_that_cannot_be_had_is_refused_in_one_line(words: str, wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong):
        create.parse([*SESSION, *words.split()])


def test_certificates_are_named_in_pppds_words() -> None:
    words = "eap-allow-methods tls ca /a cert /b key /c crl /d eap-max-rreq 40 eap-max-sreq 5 eap-timeout 7"
    options = create.check(create.parse([*SESSION, *words.split()]).options)
    assert [options[f"tls_{name}"] for name in ("ca", "certificate", "key", "crl")] == ["/a", "/b", "/c", "/d"]
    made = settings(words)
    assert (made["eap_max_received"], made["eap_max_requests"], made["eap_timeout"]) == (40, 5, 7.0)
    with pytest.raises(Invalid, match="is no name of a file"):
        create.parse([*SESSION, "ca", "ca.pem"])
