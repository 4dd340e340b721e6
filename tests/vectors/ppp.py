"""Valid PPP frames: all that two ends of ours say in a few whole lives of links, and the codes that they do not use."""

from __future__ import annotations

from collections.abc import Callable

from prol2tp.ppp import frame
from prol2tp.ppp.settings import LinkSettings
from tests.ppp_ends import Pair, users

SERVER = users(u1="pw1")


def lns() -> LinkSettings:
    return LinkSettings(
        auth=True,
        auth_methods=("chap", "pap"),
        name="lns",
        local_ip="10.0.0.1",
        dns=("9.9.9.9",),
        user="x",
        password="y",
    )


def client() -> LinkSettings:
    return LinkSettings(user="u1", password="pw1", usepeerdns=True, mru=1400, asyncmap=0)


def recorded() -> list[bytes]:
    """Every frame of a few whole lives of links."""
    frames: list[bytes] = []
    for method in ("pap", "chap", "mschapv1", "mschapv2", "md5 in eap", "mschapv2 in eap"):
        a, b = lns(), client()
        inner, _, outer = method.partition(" in ")
        a.auth_methods = b.allow_methods = (outer or inner,)
        a.codecs = b.codecs = ("predictor1", "deflate") if inner == "pap" else ("mppe", "bsd")
        b.eap_allow_methods = (inner,)
        a.lcp_echo_interval = b.lcp_echo_interval = 5.0
        pair = Pair(a, b, answer=SERVER)
        transmit = pair._transmit

        def note(to: int, octets: bytes, transmit: Callable[[int, bytes], None] = transmit) -> None:
            frames.append(octets)
            transmit(to, octets)

        pair._transmit = note  # type: ignore[method-assign]
        pair.start()
        pair.run(12.0)
        for link in pair.links:
            link.lcp.reject_protocol(frame.CCP, b"\x01\x01\x00\x04")
        now = pair.now
        pair.do(0, lambda link, now=now: link.receive(frame.header(frame.LCP) + frame.packet(99, 1), now))
        pair.do(0, lambda link, now=now: link.close(now))
        pair.run(20.0)
    frames += [
        frame.header(frame.LCP) + frame.packet(code, 3, b"\x00\x00\x00\x00abc")
        for code in (frame.DISCARD_REQUEST, frame.IDENTIFICATION, frame.TIME_REMAINING, frame.CODE_REJECT)
    ]
    asked = b"\x01\x04\x05\x78\x02\x06\x00\x00\x00\x00\x03\x05\xc2\x23\x05\x05\x06\x01\x02\x03\x04\x07\x02\x08\x02"
    frames += [frame.header(frame.LCP) + frame.packet(code, 1, asked) for code in (1, 2, 3, 4)]
    frames += [
        frame.header(frame.CHAP) + frame.packet(4, 1, b"no"),
        frame.header(frame.EAP) + frame.packet(1, 1, b"\x02Hello"),
        frame.header(frame.EAP) + frame.packet(1, 1, b"\x0d\x20"),
        frame.header(frame.EAP) + frame.packet(1, 1, b"\x1a\x04\x01\0\x10E=691 R=0 V=3"),
        frame.header(frame.EAP) + frame.packet(2, 1, b"\x1a\x04"),
        frame.header(frame.EAP) + frame.packet(4, 1),
        *(
            frame.header(frame.CCP) + frame.packet(code, 1, b"\x1a\x04\x78\0\x12\6\1\0\0\x40\x15\3\x2c\1\2")
            for code in (1, 2, 3, 4, 14, 15)
        ),
        frame.header(frame.PAP) + frame.packet(3, 1, b"\x02no"),
    ]
    return sorted(set(frames))


VALID = recorded()
