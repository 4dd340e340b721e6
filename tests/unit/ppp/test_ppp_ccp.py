"""CCP on a link (RFC 1962): what is agreed on, resets, and encryption that is required or not to be had."""

from __future__ import annotations

from typing import Any

import pytest

from prol2tp.ppp import ccp, frame
from prol2tp.ppp.link import Link, Phase
from prol2tp.ppp.outputs import CompressionDown, CompressionReset, CompressionUp, NetworkDown, NetworkUp
from prol2tp.ppp.settings import Grant, LinkSettings
from tests.ppp_ends import End, Packet, random_source

CCP = frame.CCP
ALL = ("deflate", "predictor1", "bsd")
DEFLATE, PREDICTOR, BSD = b"\x1a\x04\x78\0", b"\x01\x02", b"\x15\x03\x2c"
MPPE = b"\x12\x06\x01\0\0\x40"
ACK, NAK, REJECT = frame.CONFIGURE_ACK, frame.CONFIGURE_NAK, frame.CONFIGURE_REJECT


def up(codecs: tuple[str, ...] = ALL, **settings: Any) -> End:
    end = End(**({"codecs": codecs, "local_ip": "10.0.0.1"} | settings))
    end.open_lcp()
    return end


def keyed(codecs: tuple[str, ...] = ("mppe",), **settings: Any) -> End:
    """Authentication has given keys."""
    end = up(codecs, auth=True, auth_methods=("pap",), **settings)
    end.hear(frame.PAP, 1, 1, b"\x02u1\x03pw1")
    end.call("authenticated", Grant(peer_ip="10.0.0.9", mppe_send_key=b"s" * 16, mppe_receive_key=b"r" * 16))
    return end


def asked(end: End) -> bytes:
    return end.last_request(CCP)[3]


def answer(end: End, code: int, data: bytes) -> list[Packet]:
    return end.hear(CCP, code, end.last_request(CCP)[2], data)


def facts(end: End, *kinds: type) -> list[Any]:
    return [output for output in end.all if isinstance(output, kinds)]


def test_without_codecs_ccp_is_not_spoken() -> None:
    end = up(())
    assert end.link.ccp is None
    ((protocol, code, _, data),) = end.hear(CCP, 1, 1, DEFLATE)
    assert (protocol, code, data[:2]) == (frame.LCP, frame.PROTOCOL_REJECT, b"\x80\xfd")


def test_codecs_are_asked_for_one_at_a_time_best_first() -> None:
    end = up()
    assert asked(end) == DEFLATE
    answer(end, REJECT, DEFLATE)
    assert asked(end) == PREDICTOR
    answer(end, REJECT, PREDICTOR)
    assert asked(end) == BSD
    answer(end, NAK, b"\x15\x03\x2a")
    assert asked(end) == b"\x15\x03\x2a"
    answer(end, REJECT, b"\x15\x03\x2a")
    assert asked(end) == b""


@pytest.mark.parametrize("data", [b"\x08\0", b"\x79\0", b"\x78\1", b"\x78", b"\x88\0", b"", b"\x78\0\0"])
def test_a_nak_that_makes_no_sense_is_a_rejection(data: bytes) -> None:
    end = up(("deflate",))
    answer(end, NAK, bytes((ccp.DEFLATE, len(data) + 2)) + data)
    assert asked(end) == b""


def test_a_smaller_window_is_taken() -> None:
    end = up(("deflate",))
    answer(end, NAK, b"\x1a\x04\x28\0")
    assert asked(end) == b"\x1a\x04\x28\0"


@pytest.mark.parametrize(
    ("wishes", "code", "said"),
    [
        (DEFLATE, ACK, DEFLATE),
        (PREDICTOR, ACK, PREDICTOR),
        (BSD, ACK, BSD),
        (b"", ACK, b""),
        (DEFLATE + PREDICTOR + BSD, REJECT, PREDICTOR + BSD),
        (MPPE + DEFLATE, REJECT, MPPE),
        (b"\x18\x04\x78\0" + DEFLATE, REJECT, b"\x18\x04\x78\0"),
        (b"\x1a\x04\x79\0", NAK, DEFLATE),
        (b"\x1a\x04\x08\0", NAK, DEFLATE),
        (b"\x1a\x03\x78", NAK, DEFLATE),
        (b"\x15\x03\x0c", NAK, BSD),
        (b"\x15\x03\x30", NAK, BSD),
        (b"\x01\x03\x00", NAK, PREDICTOR),
        (b"\x00\x06abcd", REJECT, b"\x00\x06abcd"),
        (DEFLATE + DEFLATE, REJECT, DEFLATE),
    ],
)
def test_one_codec_of_ours_is_taken_and_all_else_refused(wishes: bytes, code: int, said: bytes) -> None:
    assert up().hear(CCP, 1, 1, wishes) == [(CCP, code, 1, said)]


def test_the_shell_hears_what_each_direction_is_compressed_with() -> None:
    end = up()
    end.hear(CCP, 1, 1, PREDICTOR)
    answer(end, ACK, DEFLATE)
    assert facts(end, CompressionUp) == [CompressionUp("predictor1", "deflate", b"", b"\x78\0")]
    assert end.link.ccp is not None and (end.link.ccp.got, end.link.ccp.his) == (("deflate",), ("predictor1",))
    end.hear(CCP, 5, 2)
    assert facts(end, CompressionDown) and end.link.phase is Phase.NETWORK


def test_where_nothing_is_agreed_on_ccp_goes_away_and_the_link_stays() -> None:
    end = up(("deflate",))
    end.hear(CCP, 1, 1, b"")
    answer(end, REJECT, DEFLATE)
    answer(end, ACK, b"")
    end.open_ip()
    assert facts(end, CompressionUp) == [] and [fact.protocol for fact in facts(end, NetworkUp)] == ["ip"]
    end = up()
    end.hear(frame.LCP, frame.PROTOCOL_REJECT, 1, b"\x80\xfd\1\1\0\4")
    end.open_ip()
    assert [fact.protocol for fact in facts(end, NetworkUp)] == ["ip"]


def test_resets_go_both_ways() -> None:
    end = up()
    assert end.hear(CCP, ccp.RESET_REQUEST, 9) == [] and end.link.discards == 1
    end.hear(CCP, 1, 1, DEFLATE)
    answer(end, ACK, DEFLATE)
    assert end.hear(CCP, ccp.RESET_REQUEST, 9, b"x") == [(CCP, ccp.RESET_ACK, 9, b"x")]
    assert end.said[0] == CompressionReset("send")
    ((_, code, identifier, _),) = end.call("decompression_failed")
    assert code == ccp.RESET_REQUEST
    assert end.call("decompression_failed") == []
    end.now += 1.0
    assert end.call("decompression_failed") == [(CCP, ccp.RESET_REQUEST, identifier, b"")]
    end.hear(CCP, ccp.RESET_ACK, identifier + 1)
    assert facts(end, CompressionReset) == [CompressionReset("send")]
    end.hear(CCP, ccp.RESET_ACK, identifier)
    assert facts(end, CompressionReset)[1:] == [CompressionReset("receive")]
    end.hear(CCP, ccp.RESET_ACK, identifier)
    assert len(facts(end, CompressionReset)) == 2


# MPPE


@pytest.mark.parametrize(
    ("wishes", "code", "said"),
    [
        (MPPE, ACK, MPPE),
        (b"\x12\x06\x01\0\0\xe1", NAK, MPPE),
        (b"\x12\x06\0\0\0\x40", NAK, MPPE),
        (b"\x12\x06\x01\0\0\x20", NAK, MPPE),
        (b"\x12\x06\0\0\0\x01", NAK, MPPE),
        (b"\x12\x03\0", NAK, MPPE),
    ],
)
def test_mppe_is_stateless_and_of_one_strength_that_settings_allow(wishes: bytes, code: int, said: bytes) -> None:
    assert keyed().hear(CCP, 1, 1, wishes) == [(CCP, code, 1, said)]


def test_weaker_keys_and_stateful_ones_only_where_settings_allow_them() -> None:
    end = keyed(mppe_strengths=(128, 56, 40), mppe_stateful=True)
    assert end.hear(CCP, 1, 1, b"\x12\x06\0\0\0\x20") == [(CCP, ACK, 1, b"\x12\x06\0\0\0\x20")]
    answer(end, NAK, b"\x12\x06\0\0\0\xa0")
    assert asked(end) == b"\x12\x06\0\0\0\x80"
    end = keyed()
    answer(end, NAK, b"\x12\x06\x01\0\0\x20")
    assert asked(end) == b""


def test_without_keys_mppe_is_neither_asked_for_nor_taken() -> None:
    end = up(("mppe", "deflate"))
    assert asked(end) == DEFLATE
    assert end.hear(CCP, 1, 1, MPPE) == [(CCP, REJECT, 1, MPPE)]


def test_the_data_path_gets_the_keys_and_nothing_shows_them() -> None:
    end = keyed()
    end.hear(CCP, 1, 1, MPPE)
    answer(end, ACK, MPPE)
    (opened,) = facts(end, CompressionUp)
    assert (opened.send, opened.receive, opened.send_key, opened.receive_key) == ("mppe", "mppe", b"s" * 16, b"r" * 16)
    assert "ssss" not in repr(opened)
    assert end.hear(CCP, ccp.RESET_REQUEST, 9) == [] and end.said == [CompressionReset("send")]


# MPPE that is required: the link fails closed


def test_required_encryption_comes_before_the_network_protocols() -> None:
    end = keyed(mppe_required=True)
    assert end.hear(frame.IPCP, 1, 1, b"\x03\x06\x0a\0\0\x09") == []
    end.hear(CCP, 1, 1, MPPE)
    assert facts(end, CompressionUp) == []
    said = answer(end, ACK, MPPE)
    assert isinstance(end.said[0], CompressionUp)
    assert [packet[0] for packet in said] == [frame.IPCP, frame.IPV6CP]
    end.open_ip(b"\x0a\0\0\x09")
    assert facts(end, NetworkUp)


def test_a_data_path_that_cannot_encrypt_never_gets_a_link_that_must_be() -> None:
    """The link came up without MPPE though it was required (pppd before 2.5.5)."""
    for codecs in ((), ALL):
        end = End(codecs=codecs, mppe_required=True, local_ip="10.0.0.1")
        end.open_lcp()
        assert end.link.phase is Phase.TERMINATE
        end.wait(10.0)
        assert end.down is not None and "MPPE" in end.down.message and not facts(end, NetworkUp)


def test_without_keys_a_link_that_must_be_encrypted_ends() -> None:
    end = up(("mppe",), mppe_required=True)
    assert end.link.phase is Phase.TERMINATE
    end.wait(10.0)
    assert end.down is not None and "no keys" in end.down.message


@pytest.mark.parametrize("code", [REJECT, NAK])
def test_a_peer_that_does_not_encrypt_is_left(code: int) -> None:
    end = keyed(("mppe", "deflate"), mppe_required=True)
    assert end.hear(CCP, 1, 1, DEFLATE) == [(CCP, REJECT, 1, DEFLATE)]
    end.hear(CCP, 1, 2, b"")
    answer(end, code, MPPE if code == REJECT else b"\x12\x06\x01\0\0\x20")
    answer(end, ACK, b"")
    assert end.link.phase is Phase.TERMINATE and not facts(end, NetworkUp, CompressionUp)


def test_one_direction_in_the_clear_is_not_enough() -> None:
    end = keyed(mppe_required=True)
    end.hear(CCP, 1, 1, b"")
    answer(end, ACK, MPPE)
    assert end.link.phase is Phase.TERMINATE and not facts(end, NetworkUp, CompressionUp)


def test_a_peer_that_rejects_ccp_or_does_not_answer_is_left() -> None:
    end = keyed(mppe_required=True)
    end.hear(frame.LCP, frame.PROTOCOL_REJECT, 1, b"\x80\xfd\1\1\0\4")
    assert end.link.phase is Phase.TERMINATE
    end = keyed(mppe_required=True)
    end.wait(60.0)
    assert end.down is not None and "MPPE" in end.down.message


def encrypted() -> End:
    end = keyed(mppe_required=True)
    end.hear(CCP, 1, 1, MPPE)
    answer(end, ACK, MPPE)
    end.open_ip(b"\x0a\0\0\x09")
    assert facts(end, NetworkUp)
    return end


def test_the_networks_go_down_with_encryption_and_come_back_with_it() -> None:
    end = encrypted()
    end.now += 5.0
    end.hear(CCP, 1, 2, MPPE)
    kinds = [type(fact) for fact in end.facts()]
    assert kinds == [CompressionDown, NetworkDown]
    answer(end, ACK, MPPE)
    assert [type(fact) for fact in end.facts()] == [CompressionUp]
    end.open_ip(b"\x0a\0\0\x09")
    assert isinstance(end.all[-1], NetworkUp)


def test_a_peer_that_ends_encryption_ends_the_link() -> None:
    end = encrypted()
    end.hear(CCP, frame.TERMINATE_REQUEST, 2)
    assert NetworkDown in [type(fact) for fact in end.facts()]
    end.wait(20.0)
    assert end.down is not None and "MPPE" in end.down.message


def test_ccp_outlives_the_daemon_without_the_keys() -> None:
    end = encrypted()
    saved = end.link.to_record(end.now)
    assert (b"s" * 16).hex() not in repr(saved) and "ssss" not in repr(saved)
    link = Link.from_record(saved, LinkSettings(**{
        "codecs": ("mppe",), "local_ip": "10.0.0.1", "auth": True, "auth_methods": ("pap",), "mppe_required": True,
    }), random_source(2), end.now)  # fmt: skip
    assert link.ccp is not None and link.ccp.encrypts and link.ccp.announced
