"""What the kernel has of the data path, found out by trying: in a network namespace of its own, where that is allowed.
Nothing of it stays."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from select import poll
from struct import Struct

from prol2tp.dataplane import l2tpv2
from prol2tp.dataplane.iplistener import IPPROTO_L2TP
from prol2tp.dataplane.linux import pppdev
from prol2tp.dataplane.linux.codecs import KEY_LENGTH, MODULES, MPPE
from prol2tp.dataplane.linux.filters import source_check
from prol2tp.dataplane.linux.genl import PW_ETH, GenericSocket
from prol2tp.dataplane.linux.sockets import AF_PPPOX, PX_PROTO_OE, open_pppol2tp
from prol2tp.ppp.ccp import CODECS, OPTIONS

CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_FLAGS = Struct("=16sH22x")
_WAIT = 200
"""Milliseconds for a frame over the loopback interface."""
_LCP = b"\xff\x03\xc0\x21\x09\x01\x00\x08\0\0\0\0"
_LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class Features:
    """What the kernel can do. `reason`: why it cannot carry PPP at all; empty: it can."""

    reason: str = ""
    ethernet: bool = False
    over_ip: bool = False
    pppoe: bool = False
    bridge: bool = False
    """Channels can be joined (Linux 5.12)."""
    source_check: bool = False
    """Units have a pass filter (CONFIG_PPP_FILTER)."""
    shared_address: bool = False
    """Several tunnels may have the same pair of addresses and ports (Linux 6.11)."""
    codecs: tuple[str, ...] = ()
    limits: list[str] = field(default_factory=list)
    """What is missing, a sentence each."""


def probe() -> Features:
    """Blocks for some milliseconds; the calling thread stays in its namespace."""
    found: list[Features] = []

    def run() -> None:
        try:
            found.append(_probe_apart())
        except OSError as error:
            found.append(Features(reason=error.strerror or str(error)))

    thread = threading.Thread(target=run, name="probe")
    thread.start()
    thread.join()
    return found[0] if found else Features(reason="the probe failed")


def _probe_apart() -> Features:
    features = Features()
    for step, what in ((_l2tp_there, "L2TP (module l2tp_netlink)"), (_ppp_there, f"{pppdev.DEVICE} (ppp_generic)")):
        try:
            step()
        except OSError as error:
            features.reason = f"no {what}: {error.strerror}"
            return features
    # without the privilege for a namespace it is tried where we are: an interface comes and goes
    apart = ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0
    with ExitStack() as exits:
        try:
            if apart:
                _loopback_up()
            _try(features, exits)
        except OSError as error:
            features.reason = f"no PPP over L2TP (module l2tp_ppp): {error.strerror}"
            return features
    features.limits += [f"no {text}" for text, there in (
        ("Ethernet pseudowires (module l2tp_eth)", features.ethernet), ("L2TP over IP (l2tp_ip)", features.over_ip),
        ("PPPoE (pppoe)", features.pppoe), ("joined channels (Linux 5.12)", features.bridge),
        ("filter for PPP (CONFIG_PPP_FILTER): interfaces with a source check stay in user space",
         features.source_check),
        ("two tunnels on one pair of addresses and ports (Linux 6.11): further ones stay in user space",
         features.shared_address)) if not there]
    features.limits += [f"no {word} (module {module})" for word, module in MODULES.items()
                        if word not in features.codecs]
    return features


def _l2tp_there() -> None:
    GenericSocket().close()


def _ppp_there() -> None:
    os.close(pppdev.open_unused())


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        flags = _FLAGS.unpack(ioctl(asked.fileno(), _SIOCGIFFLAGS, _FLAGS.pack(b"lo", 0)))[1]
        ioctl(asked.fileno(), _SIOCSIFFLAGS, _FLAGS.pack(b"lo", flags | _IFF_UP))


def _try(features: Features, exits: ExitStack) -> None:
    requests = GenericSocket()
    exits.callback(requests.close)
    peer = _bound(exits, 0)
    port = peer.getsockname()[1]
    first = _connected(exits, peer, 0)
    ours = [first, _connected(exits, peer, first.getsockname()[1])]
    ids = [int.from_bytes(os.urandom(2), "big") | 0x8000 for _ in ours]
    ids[1] ^= 1 if ids[0] == ids[1] else 0
    channels = []
    for tunnel, member in zip(ids, ours, strict=True):
        requests.tunnel_create(member.fileno(), 2, tunnel, tunnel, False)
        pppox = open_pppol2tp(2, (_LOOPBACK, port), (tunnel, tunnel, tunnel, tunnel))
        exits.callback(pppox.close)
        descriptor, number = pppdev.open_channel(pppox.fileno())
        exits.callback(os.close, descriptor)
        channels.append((descriptor, number))
    peer.sendto(l2tpv2.plain(ids[0], ids[0]) + _LCP, ours[0].getsockname())
    waiting = poll()
    waiting.register(channels[0][0], 1)
    features.shared_address = bool(waiting.poll(_WAIT))
    features.bridge = _works(lambda: pppdev.bridge(channels[0][0], channels[1][1]))
    if features.bridge:
        pppdev.unbridge(channels[0][0])
    unit, _ = pppdev.open_unit()
    exits.callback(os.close, unit)
    features.source_check = _works(lambda: pppdev.set_pass_filter(unit, source_check([], False)))
    features.codecs = tuple(word for word in CODECS if word in MODULES and _has_codec(unit, word))
    features.ethernet = _works(lambda: _ethernet(requests, peer, exits))
    features.over_ip = _works(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_L2TP).close())
    features.pppoe = _works(lambda: socket.socket(AF_PPPOX, socket.SOCK_STREAM, PX_PROTO_OE).close())


def _bound(exits: ExitStack, port: int) -> socket.socket:
    made = exits.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((_LOOPBACK, port))
    return made


def _connected(exits: ExitStack, peer: socket.socket, port: int) -> socket.socket:
    made = _bound(exits, port)
    made.connect(peer.getsockname())
    return made


def _ethernet(requests: GenericSocket, peer: socket.socket, exits: ExitStack) -> None:
    member = _connected(exits, peer, 0)
    number = int.from_bytes(os.urandom(3), "big") | 1 << 24
    requests.tunnel_create(member.fileno(), 3, number, number, False)
    requests.session_create(number, number, number, pw_type=PW_ETH)


def _has_codec(unit: int, word: str) -> bool:
    kind = OPTIONS[CODECS[word]]
    data = b"\x01\0\0\x40" if word == MPPE else kind.default
    option = bytes((kind.type, 2 + len(data))) + data + (bytes(KEY_LENGTH) if word == MPPE else b"")
    return _works(lambda: pppdev.set_codec(unit, option, True))


def _works(step: Callable[[], object]) -> bool:
    with suppress(OSError):
        step()
        return True
    return False
