"""The host's side of discovery (RFC 2516 section 5) for one session: PADI, choice of an offer, PADR, and the end."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, ClassVar

from prol2tp.common.fsm import Machine, Row
from prol2tp.pppoe import tags
from prol2tp.pppoe.outputs import DiscoveryFailed, Output, SessionClosed, SessionKey, SessionOpened, Transmit
from prol2tp.pppoe.packets import (
    BROADCAST,
    HEADER_LENGTH,
    MAX_PAYLOAD,
    PADI,
    PADO,
    PADR,
    PADS,
    PADT,
    Discovery,
    PacketError,
    VlanTag,
    describe,
    read,
    text,
    vids,
    write,
)
from prol2tp.pppoe.settings import HostSettings

HOST_UNIQ_LENGTH = 16
JITTER = 0.1
"""Part of a waiting time by which hosts differ, so that they do not all dial again at once."""
ANY = b"\0" * 6

Trace = Callable[[str, bytes, str], None]
"""`trace(interface, mac, text)`"""


class State(Enum):
    IDLE = auto()
    PADI_SENT = auto()
    PADR_SENT = auto()
    SESSION = auto()


class Event(Enum):
    OPEN = auto()
    PADO = auto()
    """An offer that suits."""
    PADS = auto()
    REFUSED = auto()
    """A PADS with an error."""
    PADT = auto()
    EXPIRED = auto()
    """The waiting time is over: send again."""
    UNCONFIRMED = auto()
    """That was the last PADR of this round: look anew."""
    EXHAUSTED = auto()
    """That was the last of all."""
    CLOSE = auto()
    LOWER_DOWN = auto()


class Host(Machine):
    """One session of ours.

    :param interface: its name, for `Transmit` and `SessionKey`.
    :param random_bytes: source of the Host-Uniq and of the jitter.
    :param trace: called with every packet as text, when set.
    """

    __slots__ = (
        "interface", "settings", "trace", "key", "max_payload", "ac_name", "host_uniq", "_vlans", "_random_bytes",
        "_peer", "_cookie", "_relay", "_padis", "_padrs", "_wait", "_deadline", "_outputs",
    )  # fmt: skip
    NAME: ClassVar[str] = "PPPOE"

    def __init__(self, interface: str, settings: HostSettings, random_bytes: Callable[[int], bytes], now: float,
                 trace: Trace | None = None) -> None:
        super().__init__(State.IDLE, now)
        if len(settings.mac) != 6 or settings.mac[0] & 1 or not any(settings.mac):
            raise ValueError(f"{interface}: no Ethernet address of a host")
        self.interface = interface
        self.settings = settings
        self.trace = trace
        self.key: SessionKey | None = None
        self.max_payload = MAX_PAYLOAD
        self.ac_name = ""
        self.host_uniq = b""
        self._vlans = tuple(VlanTag(*vlan) for vlan in settings.vlans)
        self._random_bytes = random_bytes
        self._peer = ANY
        self._cookie: bytes | None = None
        self._relay: bytes | None = None
        self._padis = 0
        self._padrs = 0
        self._wait = settings.timeout
        self._deadline: float | None = None
        self._outputs: list[Output] = []

    # commands

    def open(self, now: float) -> None:
        """Look for an access concentrator; nothing when that goes on, or there is a session."""
        self._fire(Event.OPEN, now)

    def close(self, now: float, message: str = "") -> None:
        """End the session with a PADT, or stop looking. No `DiscoveryFailed` follows."""
        self._fire(Event.CLOSE, now, message)

    def lower_down(self, now: float) -> None:
        """The interface is gone: no PADT can pass."""
        self._fire(Event.LOWER_DOWN, now, "interface down")

    # the network

    def receive(self, frame: bytes, now: float) -> None:
        """A frame of ethertype 0x8863 from our interface; those for other sessions change nothing."""
        if frame[:6] != self.settings.mac:
            return
        try:
            packet = read(frame)
        except PacketError as error:
            if self.trace is not None:
                self.trace(self.interface, bytes(frame[6:12]), f"receive invalid packet: {error}")
            return
        if vids(packet.vlans) != vids(self._vlans):
            return
        if isinstance(packet, PADT):
            self._receive_padt(packet, now)
        elif packet.host_uniq == self.host_uniq and self.host_uniq:
            if self.trace is not None:
                self.trace(self.interface, packet.source, f"receive {describe(packet)}")
            if isinstance(packet, PADO):
                self._receive_pado(packet, now)
            elif isinstance(packet, PADS) and packet.source == self._peer:
                self._receive_pads(packet, now)

    def _receive_pado(self, packet: PADO, now: float) -> None:
        wanted = self.settings.service_name.encode()
        if packet.errors or (wanted and wanted not in packet.service_names):
            return
        if self.settings.ac_name and packet.ac_name != self.settings.ac_name.encode():
            return
        self._fire(Event.PADO, now, packet)

    def _receive_pads(self, packet: PADS, now: float) -> None:
        if packet.errors or not packet.session_id:
            self._fire(Event.REFUSED, now, packet)
        elif self.state in (State.PADI_SENT, State.PADR_SENT):
            self._fire(Event.PADS, now, packet)
        elif self.key is None or packet.session_id != self.key.session_id:
            # a copy of our PADR has made one more session, or it comes after we gave up
            self._send(PADT(packet.source, self.settings.mac, self._vlans, packet.session_id,
                            host_uniq=self.host_uniq))  # fmt: skip

    def _receive_padt(self, packet: PADT, now: float) -> None:
        key = self.key
        if key is not None and key.peer == packet.source and key.session_id == packet.session_id:
            if self.trace is not None:
                self.trace(self.interface, packet.source, f"receive {describe(packet)}")
            self._fire(Event.PADT, now, text(packet.errors[0][1][:200]) if packet.errors else "")

    # time and outputs

    def timeout(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        event = Event.EXPIRED
        if self.state is State.PADI_SENT or self._padrs >= self.settings.padr_tries:
            if 0 < self.settings.padi_tries <= self._padis:
                event = Event.EXHAUSTED
            elif self.state is State.PADR_SENT:
                event = Event.UNCONFIRMED
        self._fire(event, now)

    def deadline(self) -> float | None:
        return self._deadline

    def outputs(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def _fire(self, event: Event, now: float, message: Any = None) -> None:
        """What the state has no row for is old news."""
        if (self.state, event) in self.TABLE:
            self.fire(event, now, message)

    # actions

    def _start(self, message: Any, now: float) -> None:
        self.host_uniq = self.settings.host_uniq or self._random_bytes(HOST_UNIQ_LENGTH)
        self._peer = ANY
        self._padis = 0
        self._look(message, now)

    def _look(self, message: Any, now: float) -> None:
        self._wait = self.settings.timeout
        self._initiate(message, now)

    def _initiate(self, message: Any, now: float) -> None:
        settings = self.settings
        self._padis += 1
        self._send(PADI(
            BROADCAST, settings.mac, self._vlans, 0, (settings.service_name.encode(),),
            host_uniq=self.host_uniq, max_payload=self._wanted_payload(),
        ))  # fmt: skip
        self._sent(now)

    def _choose(self, offer: PADO, now: float) -> None:
        self._peer = offer.source
        self._cookie, self._relay = offer.ac_cookie, offer.relay_session_id
        self.ac_name = text(offer.ac_name or b"")
        self._padrs, self._wait = 0, self.settings.timeout
        self._request(None, now)

    def _request(self, message: Any, now: float) -> None:
        settings = self.settings
        self._padrs += 1
        self._send(PADR(
            self._peer, settings.mac, self._vlans, 0, (settings.service_name.encode(),),
            host_uniq=self.host_uniq, ac_cookie=self._cookie, relay_session_id=self._relay,
            max_payload=self._wanted_payload(),
        ))  # fmt: skip
        self._sent(now)

    def _sent(self, now: float) -> None:
        """Wait for the answer; twice as long each time (section 8)."""
        jitter = (self._random_bytes(1)[0] / 127.5 - 1) * JITTER
        self._deadline = now + self._wait * (1 + jitter)
        self._wait = min(self._wait * 2, self.settings.max_timeout)

    def _opened(self, packet: PADS, now: float) -> None:
        self._deadline = None
        self.key = SessionKey(self.interface, packet.source, packet.session_id)
        wanted = self._wanted_payload()
        self.max_payload = min(wanted, packet.max_payload) if packet.max_payload > MAX_PAYLOAD < wanted else MAX_PAYLOAD
        service = packet.service_names[0] if packet.service_names else self.settings.service_name.encode()
        self._outputs.append(
            SessionOpened(self.key, self._vlans, text(service), self.max_payload, self.ac_name)
        )

    def _refused(self, packet: PADS, now: float) -> None:
        self._deadline = None
        error, message = packet.errors[0] if packet.errors else (tags.GENERIC_ERROR, b"")
        self._outputs.append(DiscoveryFailed(error, text(message[:200])))

    def _given_up(self, message: Any, now: float) -> None:
        self._deadline = None
        self._outputs.append(DiscoveryFailed(None, "no access concentrator answers"))

    def _stopped(self, message: Any, now: float) -> None:
        self._deadline = None

    def _terminated(self, message: str, now: float) -> None:
        self._end(True, message)

    def _lost(self, message: str, now: float) -> None:
        self._end(False, message)

    def _terminate(self, message: str, now: float) -> None:
        assert self.key is not None
        errors = ((tags.GENERIC_ERROR, message.encode()[:200]),) if message else ()
        self._send(PADT(
            self.key.peer, self.settings.mac, self._vlans, self.key.session_id, host_uniq=self.host_uniq,
            ac_cookie=self._cookie, relay_session_id=self._relay, errors=errors,
        ))  # fmt: skip
        self._end(False, message)

    def _end(self, by_peer: bool, message: str) -> None:
        key, self.key = self.key, None
        assert key is not None
        self._outputs.append(SessionClosed(key, by_peer, message))

    def _wanted_payload(self) -> int:
        """PPP-Max-Payload of PADI and PADR; 0: none."""
        settings = self.settings
        wanted = settings.mtu - HEADER_LENGTH - 2 if settings.max_payload is None else settings.max_payload
        return wanted if wanted > MAX_PAYLOAD else 0

    def _send(self, packet: Discovery) -> None:
        if self.trace is not None:
            self.trace(self.interface, packet.destination, f"send {describe(packet)}")
        self._outputs.append(Transmit(self.interface, write(packet)))

    # record

    def to_record(self, now: float) -> dict[str, Any]:
        """Plain data; the deadline as seconds left."""
        return {
            "state": self.state.name,
            "host_uniq": self.host_uniq.hex(),
            "peer": self._peer.hex(),
            "session_id": self.key.session_id if self.key else 0,
            "max_payload": self.max_payload,
            "ac_name": self.ac_name,
            "cookie": None if self._cookie is None else self._cookie.hex(),
            "relay_session_id": None if self._relay is None else self._relay.hex(),
            "padis": self._padis,
            "padrs": self._padrs,
            "wait": self._wait,
            "left": None if self._deadline is None else self._deadline - now,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], interface: str, settings: HostSettings,
                    random_bytes: Callable[[int], bytes], now: float, trace: Trace | None = None) -> Host:
        host = cls(interface, settings, random_bytes, now, trace)
        host.state = State[record["state"]]
        host.host_uniq = bytes.fromhex(record["host_uniq"])
        host._peer = bytes.fromhex(record["peer"])
        if record["session_id"]:
            host.key = SessionKey(interface, host._peer, record["session_id"])
        host.max_payload, host.ac_name = record["max_payload"], record["ac_name"]
        host._cookie = None if record["cookie"] is None else bytes.fromhex(record["cookie"])
        relay = record["relay_session_id"]
        host._relay = None if relay is None else bytes.fromhex(relay)
        host._padis, host._padrs, host._wait = record["padis"], record["padrs"], record["wait"]
        host._deadline = None if record["left"] is None else now + record["left"]
        return host

    TABLE: ClassVar[dict[tuple[Enum, Enum], Row]] = {
        (State.IDLE, Event.OPEN): Row(_start, State.PADI_SENT),
        (State.PADI_SENT, Event.PADO): Row(_choose, State.PADR_SENT),
        (State.PADI_SENT, Event.PADS): Row(_opened, State.SESSION),
        (State.PADI_SENT, Event.EXPIRED): Row(_initiate, State.PADI_SENT),
        (State.PADI_SENT, Event.EXHAUSTED): Row(_given_up, State.IDLE),
        (State.PADI_SENT, Event.CLOSE): Row(_stopped, State.IDLE),
        (State.PADI_SENT, Event.LOWER_DOWN): Row(_stopped, State.IDLE),
        (State.PADR_SENT, Event.PADS): Row(_opened, State.SESSION),
        (State.PADR_SENT, Event.REFUSED): Row(_refused, State.IDLE),
        (State.PADR_SENT, Event.EXPIRED): Row(_request, State.PADR_SENT),
        (State.PADR_SENT, Event.UNCONFIRMED): Row(_look, State.PADI_SENT),
        (State.PADR_SENT, Event.EXHAUSTED): Row(_given_up, State.IDLE),
        (State.PADR_SENT, Event.CLOSE): Row(_stopped, State.IDLE),
        (State.PADR_SENT, Event.LOWER_DOWN): Row(_stopped, State.IDLE),
        (State.SESSION, Event.PADT): Row(_terminated, State.IDLE),
        (State.SESSION, Event.CLOSE): Row(_terminate, State.IDLE),
        (State.SESSION, Event.LOWER_DOWN): Row(_lost, State.IDLE),
    }
    """A PADS in PADI_SENT answers the PADR of a round before."""
