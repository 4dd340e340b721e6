"""What the access concentrator keeps for one Ethernet interface: its sessions, their ids, and whom it serves."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

from prol2tp.common.bucket import Bucket
from prol2tp.common.ids import IdPool
from prol2tp.pppoe import tags
from prol2tp.pppoe.outputs import SessionKey
from prol2tp.pppoe.packets import BROADCAST, PADR, PADS, PADT, Discovery, Vlans, VlanTag, text, vids
from prol2tp.pppoe.settings import InterfaceSettings, Service

RESERVED_ID = 0xFFFF
LONGEST_SERVICE_NAME = 255

Request = tuple[bytes, tuple[int, ...], bytes, bytes | None]
"""What makes two PADRs copies of one: host, VLAN ids, AC-Cookie, Host-Uniq."""


def request_of(packet: Discovery) -> Request:
    return packet.source, vids(packet.vlans), packet.ac_cookie or b"", packet.host_uniq


@dataclass(slots=True)
class Session:
    """One session, from the PADR on."""

    key: SessionKey
    vlans: Vlans
    service: bytes
    advertised: bool
    host_uniq: bytes | None
    relay_session_id: bytes | None
    cookie: bytes
    max_payload: int
    """0: PPP-Max-Payload was not asked for, or gave nothing over 1492."""
    line: tags.Line | None
    created_at: float
    open: bool = False

    @property
    def service_name(self) -> str:
        return text(self.service)

    @property
    def request(self) -> Request:
        return self.key.peer, vids(self.vlans), self.cookie, self.host_uniq

    def confirmation(self, mac: bytes) -> PADS:
        """The PADS, always the same."""
        return PADS(
            self.key.peer, mac, self.vlans, self.key.session_id, (self.service,), host_uniq=self.host_uniq,
            relay_session_id=self.relay_session_id, max_payload=self.max_payload,
        )  # fmt: skip

    def refusal(self, mac: bytes, error: int, message: str) -> PADS:
        """The PADS with session id 0."""
        return PADS(
            self.key.peer, mac, self.vlans, 0, (self.service,), host_uniq=self.host_uniq,
            relay_session_id=self.relay_session_id, errors=((error, message.encode()[:200]),),
        )  # fmt: skip

    def termination(self, mac: bytes, message: str) -> PADT:
        errors = ((tags.GENERIC_ERROR, message.encode()[:200]),) if message else ()
        return PADT(
            self.key.peer, mac, self.vlans, self.key.session_id, host_uniq=self.host_uniq,
            relay_session_id=self.relay_session_id, errors=errors,
        )  # fmt: skip

    def to_record(self, now: float) -> dict[str, Any]:
        line = None if self.line is None else tags.write_line(self.line).hex()
        return {
            "interface": self.key.interface,
            "peer": self.key.peer.hex(),
            "session_id": self.key.session_id,
            "vlans": [list(vlan) for vlan in self.vlans],
            "service": self.service.hex(),
            "advertised": self.advertised,
            "host_uniq": None if self.host_uniq is None else self.host_uniq.hex(),
            "relay_session_id": None if self.relay_session_id is None else self.relay_session_id.hex(),
            "cookie": self.cookie.hex(),
            "max_payload": self.max_payload,
            "line": line,
            "age": now - self.created_at,
            "open": self.open,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], now: float) -> Session:
        def octets(value: str | None) -> bytes | None:
            return None if value is None else bytes.fromhex(value)

        peer = bytes.fromhex(record["peer"])
        line = octets(record["line"])
        return cls(
            key=SessionKey(record["interface"], peer, record["session_id"]),
            vlans=tuple(VlanTag(*vlan) for vlan in record["vlans"]),
            service=bytes.fromhex(record["service"]),
            advertised=record["advertised"],
            host_uniq=octets(record["host_uniq"]),
            relay_session_id=octets(record["relay_session_id"]),
            cookie=bytes.fromhex(record["cookie"]),
            max_payload=record["max_payload"],
            line=None if line is None else tags.read_line(line),
            created_at=now - record["age"],
            open=record["open"],
        )


class Interface:
    """State of one interface. A host without a session has none here."""

    __slots__ = (
        "name", "settings", "sessions", "requests", "padi_bucket", "padr_bucket", "_names", "_ids", "_random_bytes",
    )  # fmt: skip

    def __init__(self, name: str, settings: InterfaceSettings, random_bytes: Callable[[int], bytes],
                 now: float) -> None:
        self.name = name
        self.sessions: dict[tuple[bytes, int], Session] = {}
        self.requests: dict[Request, Session] = {}
        self._ids: dict[bytes, IdPool] = {}
        self._random_bytes = random_bytes
        self.configure(settings, now)

    def configure(self, settings: InterfaceSettings, now: float) -> None:
        """Raises `ValueError` for settings that make no sense. Sessions stay."""
        if len(settings.mac) != 6 or settings.mac[0] & 1 or not any(settings.mac):
            raise ValueError(f"{self.name}: no Ethernet address of a host")
        names = {service.name.encode(): service for service in settings.services}
        if any(len(name) > LONGEST_SERVICE_NAME for name in names):
            raise ValueError(f"{self.name}: service name over {LONGEST_SERVICE_NAME} octets")
        self.settings = settings
        self._names = names
        self.padi_bucket, self.padr_bucket = _bucket(settings, now), _bucket(settings, now)

    # whom it serves

    def serves_vlans(self, vlans: Vlans) -> bool:
        served = self.settings.vlans
        return served is None or vids(vlans) in served

    def serves_host(self, mac: bytes) -> bool:
        settings = self.settings
        if mac in settings.deny or mac[:3] in settings.deny:
            return False
        return settings.allow is None or mac in settings.allow or mac[:3] in settings.allow

    def service(self, name: bytes, vlans: Vlans) -> tuple[bytes, Service] | None:
        """The service that a host gets when it asks for `name`; None when there is none for it."""
        ids = vids(vlans)
        known = self._names.get(name)
        if known is not None and _among(ids, known.vlans):
            return name, known
        if not name:
            for other, service in self._names.items():
                if service.advertised and _among(ids, service.vlans):
                    return other, service
        if self.settings.any_service and _among(ids, self.settings.any_service_vlans):
            return name, Service(text(name), False)
        return None

    def advertised(self, asked: bytes, vlans: Vlans) -> tuple[bytes, ...]:
        """Names for a PADO: the one that was asked for, then the others."""
        ids = vids(vlans)
        others = [
            name for name, service in self._names.items()
            if service.advertised and name and name != asked and _among(ids, service.vlans)
        ]  # fmt: skip
        return (asked, *others)

    def is_for_us(self, destination: bytes) -> bool:
        return destination in (self.settings.mac, BROADCAST)

    def full(self) -> bool:
        return 0 < self.settings.max_sessions <= len(self.sessions)

    def host_full(self, mac: bytes) -> bool:
        pool = self._ids.get(mac)
        most = self.settings.max_sessions_per_mac or RESERVED_ID - 1
        return pool is not None and len(pool.used) - 1 >= most

    def of_host(self, mac: bytes) -> list[Session]:
        """All sessions of a host."""
        pool = self._ids.get(mac)
        used = pool.used if pool is not None else ()
        return [self.sessions[mac, session_id] for session_id in used if session_id != RESERVED_ID]

    def oldest(self, mac: bytes) -> Session:
        """Looks at all sessions of the host: for hosts with a limit."""
        return min(self.of_host(mac), key=lambda session: session.created_at)

    # sessions

    def make(self, packet: PADR, service: bytes, advertised: bool, max_payload: int, now: float) -> Session:
        """A session with a new id. The caller has seen that there is room."""
        key = SessionKey(self.name, packet.source, self._pool(packet.source).take())
        session = Session(
            key, packet.vlans, service, advertised, packet.host_uniq, packet.relay_session_id,
            packet.ac_cookie or b"", max_payload, packet.line, now,
        )  # fmt: skip
        self._keep(session)
        return session

    def restore(self, session: Session) -> bool:
        """Take a session out of a record; False when its id is taken."""
        if not self._pool(session.key.peer).claim(session.key.session_id):
            return False
        self._keep(session)
        return True

    def _keep(self, session: Session) -> None:
        self.sessions[session.key.peer, session.key.session_id] = session
        self.requests[session.request] = session

    def _pool(self, mac: bytes) -> IdPool:
        pool = self._ids.get(mac)
        if pool is None:
            pool = self._ids[mac] = IdPool(16, self._random_bytes)
            pool.claim(RESERVED_ID)
        return pool

    def forget(self, session: Session) -> None:
        _, mac, session_id = session.key
        del self.sessions[mac, session_id]
        self.requests.pop(session.request, None)
        pool = self._ids[mac]
        pool.release(session_id)
        if len(pool.used) == 1:
            del self._ids[mac]


def _among(ids: tuple[int, ...], vlans: Container[tuple[int, ...]] | None) -> bool:
    return vlans is None or ids in vlans


def _bucket(settings: InterfaceSettings, now: float) -> Bucket | None:
    return Bucket(max(1, settings.padi_burst), 1 / settings.padi_rate, now) if settings.padi_rate > 0 else None
