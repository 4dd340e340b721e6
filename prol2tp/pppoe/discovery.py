"""The access concentrator's side of discovery (RFC 2516 section 5): offers, sessions, and their end.

Nothing is kept for a host before its PADR with a good cookie, except PADOs that wait (`ConcentratorSettings.delays`),
whose number is bounded. Every frame causes one frame at most, and only to its sender.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from prol2tp.common.bucket import Bucket
from prol2tp.common.deadlines import Deadlines
from prol2tp.pppoe import cookie, tags
from prol2tp.pppoe.counters import Counters, Discards
from prol2tp.pppoe.interface import Interface, Session, request_of
from prol2tp.pppoe.outputs import AskRoute, Output, SessionClosed, SessionKey, SessionOpened, Transmit
from prol2tp.pppoe.packets import (
    HEADER_LENGTH,
    LARGEST_TAGS,
    MAX_PAYLOAD,
    PADI,
    PADO,
    PADR,
    PADS,
    PADT,
    SESSION,
    Discovery,
    Header,
    PacketError,
    describe,
    read,
    read_header,
    text,
    vids,
    write,
)
from prol2tp.pppoe.settings import ConcentratorSettings, InterfaceSettings

STRAY_BURST, STRAY_INTERVAL = 50, 0.02
"""PADTs for session frames that belong to no session."""
TAG_HEADER = 4
REPLACED = "replaced by a new session"
NO_ROUTE_IN_TIME = "no route in time"
"""Messages of sessions that end here by themselves."""

Trace = Callable[[str, bytes, str], None]
"""`trace(interface, mac, text)`"""


class AccessConcentrator:
    """Discovery on all interfaces of a daemon. Frames are whole (see `packets`); `sessions()` are those that have an
    id, open or waiting for their route.

    :param random_bytes: source of session ids, nonces and the cookies' secret.
    :param trace: called with every packet as text, when set.
    """

    def __init__(self, settings: ConcentratorSettings, random_bytes: Callable[[int], bytes],
                 trace: Trace | None = None) -> None:
        self.trace = trace
        self.counters = Counters()
        self.discards = Discards()
        self.interfaces: dict[str, Interface] = {}
        self.session_count = 0
        self._random_bytes = random_bytes
        self._secret = random_bytes(cookie.SECRET_LENGTH)
        self._deadlines = Deadlines()
        self._delayed: dict[int, tuple[str, PADI]] = {}
        self._delayed_count = 0
        self._spent: dict[bytes, float] = {}  # cookies of ended sessions: a late copy must not open one more
        self._stray: Bucket | None = None
        self._outputs: list[Output] = []
        self.configure(settings)

    # commands

    def configure(self, settings: ConcentratorSettings) -> None:
        """Raises `ValueError` for an AC-Name that does not fit. Sessions stay."""
        if not 0 < len(settings.ac_name.encode()) <= 255:
            raise ValueError("an AC-Name has 1 to 255 octets")
        self.settings = settings
        self._ac_name = settings.ac_name.encode()

    def configure_interface(self, name: str, settings: InterfaceSettings, now: float) -> None:
        """A new interface, or other settings for one: sessions stay, unless its address is another. Raises
        `ValueError`."""
        known = self.interfaces.get(name)
        if known is None:
            self.interfaces[name] = Interface(name, settings, self._random_bytes, now)
            return
        mac = known.settings.mac
        known.configure(settings, now)
        if mac != settings.mac:
            self.interface_down(name, now)

    def remove_interface(self, name: str, now: float, message: str = "") -> None:
        """PADT for all sessions. Raises `KeyError`."""
        for session in list(self.interfaces[name].sessions.values()):
            self._end(session, message, now)
        del self.interfaces[name]

    def interface_down(self, name: str, now: float) -> None:
        """The link is gone and no PADT can pass: its sessions end. Raises `KeyError`."""
        for session in list(self.interfaces[name].sessions.values()):
            self._closed(session, False, "interface down", now)

    def close_session(self, key: SessionKey, now: float, message: str = "") -> None:
        """PADT. Raises `KeyError`."""
        session = self._session(key)
        if session is None:
            raise KeyError(key)
        self._end(session, message, now)

    def sessions(self) -> Iterator[Session]:
        for interface in self.interfaces.values():
            yield from interface.sessions.values()

    # answers

    def routed(self, key: SessionKey, now: float) -> None:
        """There is a route: PADS, and the session is open."""
        session = self._session(key)
        if session is None or session.open:
            self.discards.late_answers += 1
            return
        session.open = True
        self._deadlines.set(key, None)
        self._confirm(session)
        self._outputs.append(
            SessionOpened(key, session.vlans, session.service_name, session.max_payload or MAX_PAYLOAD)
        )

    def refused(self, key: SessionKey, now: float, error: int = tags.AC_SYSTEM_ERROR, message: str = "") -> None:
        """There is none: PADS with the error tag, and the session is forgotten."""
        session = self._session(key)
        if session is None or session.open:
            self.discards.late_answers += 1
            return
        self._refuse(session, error, message)
        self._forget(session, now)

    def passed_over(self, key: SessionKey, now: float) -> None:
        """Not now: the PADR stays without an answer, and the host sends it again (RFC 2516 section 8)."""
        session = self._session(key)
        if session is None or session.open:
            self.discards.late_answers += 1
            return
        self.discards.padr_over_load += 1
        self._forget(session, now)

    # the network

    def receive(self, frame: bytes, interface: str, now: float) -> None:
        """A frame of ethertype 0x8863."""
        place = self.interfaces.get(interface)
        if place is None or not place.is_for_us(bytes(frame[:6])):
            self.discards.other_destinations += 1
            return
        try:
            packet = read(frame)
        except PacketError as error:
            self._count_invalid(error.code)
            if self.trace is not None:
                self.trace(interface, bytes(frame[6:12]), f"receive invalid packet: {error}")
            return
        if self.trace is not None:
            self.trace(interface, packet.source, f"receive {describe(packet)}")
        if isinstance(packet, PADI):
            self.counters.padi_received += 1
            self._receive_padi(place, packet, now)
        elif isinstance(packet, PADR):
            self.counters.padr_received += 1
            self._receive_padr(place, packet, now)
        elif isinstance(packet, PADT):
            self.counters.padt_received += 1
            self._receive_padt(place, packet, now)
        else:
            self.discards.other_packets += 1

    def receive_stray(self, frame: bytes, interface: str, now: float) -> None:
        """A session frame that the data path has no session for: the host is told with a PADT, at a bounded rate, so
        that it dials again (after a restart of ours, say). A session that we have is left alone."""
        place = self.interfaces.get(interface)
        try:
            header = read_header(frame)
        except PacketError:
            return
        if (place is None or header.ethertype != SESSION or header.destination != place.settings.mac
                or header.source[0] & 1 or not header.session_id):
            return
        if (header.source, header.session_id) in place.sessions or not place.serves_vlans(header.vlans):
            return
        if self._stray is None:
            self._stray = Bucket(STRAY_BURST, STRAY_INTERVAL, now)
        if self._stray.take(now):
            self._terminate_stray(place, header)

    def _terminate_stray(self, place: Interface, header: Header) -> None:
        self.counters.padt_sent += 1
        self._send(place.name, PADT(header.source, place.settings.mac, header.vlans, header.session_id))

    def _count_invalid(self, code: int) -> None:
        counters = self.counters
        if code == PADI.CODE:
            counters.padi_received += 1
            counters.invalid_padi_received += 1
        elif code == PADR.CODE:
            counters.padr_received += 1
            counters.invalid_padr_received += 1
        elif code == PADT.CODE:
            counters.padt_received += 1
            counters.invalid_padt_received += 1
        else:
            self.discards.other_packets += 1

    def _serves(self, place: Interface, packet: Discovery) -> bool:
        if not place.serves_vlans(packet.vlans):
            self.discards.other_vlans += 1
            return False
        if not place.serves_host(packet.source):
            self.discards.denied_hosts += 1
            return False
        return True

    def _receive_padi(self, place: Interface, packet: PADI, now: float) -> None:
        discards = self.discards
        if not self._serves(place, packet):
            return
        if place.service(packet.service_names[0], packet.vlans) is None:
            discards.unknown_services += 1
            return
        if self._full(place) or (place.host_full(packet.source) and not place.settings.replace):
            discards.padi_over_limit += 1
            return
        if place.padi_bucket is not None and not place.padi_bucket.take(now):
            discards.padi_over_rate += 1
            return
        delay = self._delay()
        if delay is None or (delay and len(self._delayed) >= self.settings.max_delayed):
            discards.padi_over_load += 1
        elif delay:
            self._delayed_count += 1
            self._delayed[self._delayed_count] = (place.name, packet)
            self._deadlines.set(self._delayed_count, now + delay)
        else:
            self._offer(place, packet, now)

    def _delay(self) -> float | None:
        delay: float | None = 0.0
        for sessions, seconds in self.settings.delays:
            if self.session_count < sessions:
                break
            delay = seconds
        return delay

    def _full(self, place: Interface) -> bool:
        return 0 < self.settings.max_sessions <= self.session_count or place.full()

    def _offer(self, place: Interface, packet: PADI, now: float) -> None:
        mac = place.settings.mac
        nonce = self._random_bytes(cookie.NONCE_LENGTH)
        offer = PADO(
            packet.source, mac, packet.vlans, 0, packet.service_names, self._ac_name, packet.host_uniq,
            cookie.make(self._secret, packet.source, place.name, vids(packet.vlans), nonce, now),
            packet.relay_session_id, self._max_payload(place, packet),
        )  # fmt: skip
        room = LARGEST_TAGS - _size(offer)
        if room < 0:  # what has to be echoed leaves no place for the rest
            self.counters.invalid_padi_received += 1
            return
        names = []
        for name in place.advertised(packet.service_names[0], packet.vlans)[1:]:
            room -= TAG_HEADER + len(name)
            if room < 0:
                break
            names.append(name)
        offer.service_names += tuple(names)
        self.counters.pado_sent += 1
        self._send(place.name, offer)

    def _max_payload(self, place: Interface, packet: Discovery) -> int:
        """RFC 4638: what the host asks for, as far as our Ethernet carries it; 0 where the usual 1492 hold."""
        agreed = min(packet.max_payload, place.settings.mtu - HEADER_LENGTH - 2)
        return agreed if agreed > MAX_PAYLOAD else 0

    def _receive_padr(self, place: Interface, packet: PADR, now: float) -> None:
        if not self._serves(place, packet):
            return
        known = place.requests.get(request_of(packet))
        if known is not None:
            self.counters.resent_padr_received += 1
            if known.open:
                self._confirm(known)
            return
        if packet.ac_cookie in self._spent or not cookie.check(
            packet.ac_cookie or b"", self._secret, packet.source, place.name, vids(packet.vlans),
            self.settings.cookie_lifetime, now,
        ):  # fmt: skip
            self.counters.invalid_padr_received += 1
            return
        if place.padr_bucket is not None and not place.padr_bucket.take(now):
            self.discards.padr_over_rate += 1
            return
        asked = packet.service_names[0]
        service = place.service(asked, packet.vlans)
        if service is None:
            self._reject(place, packet, tags.SERVICE_NAME_ERROR, "no such service")
            return
        if _echo_size(packet) + len(service[0]) > LARGEST_TAGS:
            self.counters.invalid_padr_received += 1
            return
        if not self._room(place, packet.source, now):
            self._reject(place, packet, tags.AC_SYSTEM_ERROR, "too many sessions")
            return
        session = place.make(packet, service[0], service[1].advertised, self._max_payload(place, packet), now)
        self.session_count += 1
        self._ask(session, now)

    def _room(self, place: Interface, mac: bytes, now: float) -> bool:
        """Make room for one more session of the host, if that may be."""
        if place.host_full(mac):
            if not place.settings.replace:
                return False
            self._end(place.oldest(mac), REPLACED, now)
        return not self._full(place)

    def _ask(self, session: Session, now: float) -> None:
        self._deadlines.set(session.key, now + self.settings.route_timeout)
        self._outputs.append(AskRoute(
            session.key, session.vlans, session.service_name, session.advertised,
            session.max_payload or MAX_PAYLOAD, session.line,
        ))  # fmt: skip

    def _receive_padt(self, place: Interface, packet: PADT, now: float) -> None:
        session = place.sessions.get((packet.source, packet.session_id))
        if session is None or vids(session.vlans) != vids(packet.vlans):
            self.counters.invalid_padt_received += 1  # never answered: two ends could go on for ever
            return
        self._closed(session, True, text(packet.errors[0][1][:200]) if packet.errors else "", now)

    # the ends of sessions

    def _session(self, key: SessionKey) -> Session | None:
        place = self.interfaces.get(key.interface)
        return None if place is None else place.sessions.get((key.peer, key.session_id))

    def _confirm(self, session: Session) -> None:
        self.counters.pads_sent += 1
        self._send(session.key.interface, session.confirmation(self._mac(session)))

    def _reject(self, place: Interface, packet: PADR, error: int, message: str) -> None:
        """Refuse without having made a session."""
        answer = PADS(
            packet.source, place.settings.mac, packet.vlans, 0, packet.service_names, host_uniq=packet.host_uniq,
            relay_session_id=packet.relay_session_id, errors=((error, message.encode()),),
        )  # fmt: skip
        if _size(answer) <= LARGEST_TAGS:
            self.counters.pads_sent += 1
            self._send(place.name, answer)

    def _refuse(self, session: Session, error: int, message: str) -> None:
        if error not in tags.ERRORS:
            raise ValueError(f"{error:#06x} is no error tag")
        self.counters.pads_sent += 1
        self._send(session.key.interface, session.refusal(self._mac(session), error, message))

    def _end(self, session: Session, message: str, now: float) -> None:
        """Tell the host, then forget."""
        if session.open:
            self.counters.padt_sent += 1
            self._send(session.key.interface, session.termination(self._mac(session), message))
        else:
            self._refuse(session, tags.AC_SYSTEM_ERROR, message)
        self._closed(session, False, message, now)

    def _closed(self, session: Session, by_peer: bool, message: str, now: float) -> None:
        self._forget(session, now)
        self._outputs.append(SessionClosed(session.key, by_peer, message))

    def _forget(self, session: Session, now: float) -> None:
        self.interfaces[session.key.interface].forget(session)
        spent_until = session.created_at + self.settings.cookie_lifetime + 1
        if session.open and now < spent_until:
            self._forget_spent(now)
            self._spent[session.cookie] = spent_until
        self.session_count -= 1
        self._deadlines.set(session.key, None)

    def _forget_spent(self, now: float) -> None:
        """Cookies that are too old by now need not be kept."""
        spent = self._spent
        while spent:
            oldest = next(iter(spent))
            if spent[oldest] > now:
                break
            del spent[oldest]

    def _mac(self, session: Session) -> bytes:
        return self.interfaces[session.key.interface].settings.mac

    def _send(self, interface: str, packet: Discovery) -> None:
        if self.trace is not None:
            self.trace(interface, packet.destination, f"send {describe(packet)}")
        self._outputs.append(Transmit(interface, write(packet)))

    # time and outputs

    def timeout(self, now: float) -> None:
        for owner in self._deadlines.expired(now):
            if isinstance(owner, SessionKey):
                session = self._session(owner)
                if session is not None and not session.open:
                    self._end(session, NO_ROUTE_IN_TIME, now)
                continue
            name, packet = self._delayed.pop(owner)  # type: ignore[call-overload]
            place = self.interfaces.get(name)
            if place is not None and not self._full(place):
                self._offer(place, packet, now)

    def deadline(self) -> float | None:
        return self._deadlines.next()

    def outputs(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    # record

    def ask_again(self, now: float) -> None:
        """Repeat every question that is open: for a shell that starts with a record."""
        for session in self.sessions():
            if not session.open:
                self._ask(session, now)

    def to_record(self, now: float) -> dict[str, Any]:
        """Plain data, with the secret of the cookies; PADOs that wait are not in it."""
        return {
            "secret": self._secret.hex(),
            "counters": asdict(self.counters),
            "discards": asdict(self.discards),
            "sessions": [session.to_record(now) for session in self.sessions()],
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], settings: ConcentratorSettings,
                    interfaces: dict[str, InterfaceSettings], random_bytes: Callable[[int], bytes], now: float,
                    trace: Trace | None = None) -> AccessConcentrator:
        """Sessions of an interface that is no more are left out."""
        core = cls(settings, random_bytes, trace)
        core._secret = bytes.fromhex(record["secret"])
        core.counters = Counters(**record["counters"])
        core.discards = Discards(**record["discards"])
        for name, interface in interfaces.items():
            core.configure_interface(name, interface, now)
        for row in record["sessions"]:
            session = Session.from_record(row, now)
            place = core.interfaces.get(session.key.interface)
            if place is None or not place.restore(session):
                continue
            core.session_count += 1
            if not session.open:
                core._deadlines.set(session.key, now + settings.route_timeout)
        return core


def _size(packet: Discovery) -> int:
    """Octets of tags of an answer."""
    size = 0
    for value in (*packet.service_names, packet.ac_name, packet.host_uniq, packet.ac_cookie,
                  packet.relay_session_id, *(content for _, content in packet.errors)):  # fmt: skip
        size += 0 if value is None else TAG_HEADER + len(value)
    return size + (TAG_HEADER + 2 if packet.max_payload else 0)


def _echo_size(packet: Discovery) -> int:
    """Octets of a PADS to this PADR, without the service's name."""
    echoed = len(packet.host_uniq or b"") + len(packet.relay_session_id or b"")
    return echoed + 4 * TAG_HEADER + 2 + 200  # an error's text may be in it
