"""Link Control Protocol (RFC 1661 sections 5 and 6; Identification and Time-Remaining of RFC 1570)."""

from __future__ import annotations

from typing import Any

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame, options
from prol2tp.ppp.auth import PEER_FAILED, PEER_METHODS, Method, method_of
from prol2tp.ppp.automaton import Automaton, Event, State
from prol2tp.ppp.lower import Lower, Signal
from prol2tp.ppp.outputs import PeerSays
from prol2tp.ppp.settings import LinkSettings

MRU = 1
ACCM = 2
AUTH = 3
MAGIC = 5
PFC = 7
ACFC = 8

ACCM_DEFAULT = b"\xff\xff\xff\xff"

OPTIONS = options.table(
    #  type   name                                      flag        format    length more   default
    (MRU, "MRU", "mru", "number", 2, False, b"\x05\xdc"),
    (ACCM, "ACCM", "asyncmap", "hex", 4, False, ACCM_DEFAULT),
    (AUTH, "Authentication-Protocol", "", "octets", 2, True, b""),
    (MAGIC, "Magic-Number", "magic", "hex", 4, False, b""),
    (PFC, "Protocol-Field-Compression", "pcomp", "flag", 0, False, b""),
    (ACFC, "Address-and-Control-Field-Compression", "accomp", "flag", 0, False, b""),
)

MRU_MIN = 128
TOLD_INTERVAL = 60.0
"""Seconds between texts of one kind that the shell hears of."""
NO_MAGIC = b"\x00\x00\x00\x00"
LOOPS_MAX = 4
"""Configure-Requests with our own magic number in a row; then the line is looped back (RFC 1661 section 6.4). Below
max_failure, after which the option would be rejected, and the loop could open."""

_STATUS_ORDER = ("pap", "chap", "mschapv1", "mschapv2", "eap", "asyncmap", "magic", "mru", "pcomp", "accomp")


def _in_order(words: set[str]) -> tuple[str, ...]:
    return tuple(word for word in _STATUS_ORDER if word in words)


class LCP(Automaton):
    __slots__ = (
        "magic",
        "echo_at",
        "echo_pending",
        "heard",
        "looped",
        "peer_identification",
        "initial",
        "_told_at",
        "_loops",
        "_methods",
    )

    NAME = "LCP"
    PROTOCOL = frame.LCP
    OPTIONS = OPTIONS
    SAVED = (*Automaton.SAVED, "echo_pending")

    def __init__(self, lower: Lower, settings: LinkSettings) -> None:
        super().__init__(lower, settings)
        self.magic = NO_MAGIC
        self.echo_at: float | None = None
        self.echo_pending = 0
        """Echo-Requests without an answer since."""
        self.heard = False
        """Anything came since the last Echo-Request."""
        self.looped = False
        """An Echo-Reply came with our own magic number."""
        self.peer_identification = ""
        """What the peer has said last that it is, as printable text."""
        self.initial: bytes | None = None
        """Options of the peer's first Configure-Request; kept with `settings.access` only."""
        self._told_at: dict[str, float] | None = None
        self._loops = 0
        self._methods: list[str] = []

    def lower_up(self, now: float) -> None:
        if self.settings.silent and self.state is State.STARTING:
            self.state = State.STOPPED  # as if a try had ended: only the peer's request starts one
        else:
            super().lower_up(now)

    def restart(self, now: float) -> None:
        """A peer whose LCP is open is to negotiate again: it does not speak first."""
        super().lower_up(now)

    def proxied(self, asked: dict[int, bytes], granted: dict[int, bytes], now: float) -> None:
        """What another end has agreed on with the peer in our place: LCP is open."""
        self.asked = asked
        self.granted = granted
        self._request = options.write(asked.items())
        self._counter = self.settings.max_configure
        self.magic = asked.get(MAGIC, NO_MAGIC)
        old, self.state, self.state_since = self.state, State.OPENED, now
        if self.lower.trace is not None:
            self.lower.trace("fsm", f"LCP: proxied in state {old.name} -> OPENED")
        self.lower.signal(self, Signal.UP)

    # our wishes

    def begin(self) -> None:
        settings = self.settings
        if settings.mru != frame.DEFAULT_MRU:
            self.asked[MRU] = settings.mru.to_bytes(2, "big")
        if settings.asyncmap is not None:
            self.asked[ACCM] = settings.asyncmap.to_bytes(4, "big")
        if settings.auth:
            self._methods = [name for name in settings.auth_methods if name in PEER_METHODS]
            self.asked[AUTH] = PEER_METHODS[self._methods[0]].option
        if settings.magic:
            self._new_magic()
        if settings.pcomp:
            self.asked[PFC] = b""
        if settings.accomp:
            self.asked[ACFC] = b""

    def _new_magic(self) -> None:
        magic = self.lower.random_bytes(4)
        while magic in (self.magic, NO_MAGIC):
            magic = ((int.from_bytes(magic, "big") + 1) & 0xFFFFFFFF).to_bytes(4, "big")
        self.magic = self.asked[MAGIC] = magic

    def naked(self, kind: int, data: bytes) -> None:
        if kind == AUTH:
            self._other_method(method_of(data))
        elif kind == MAGIC:
            self._new_magic()
        elif not self.OPTIONS[kind].fits(data):
            self.rejected(kind)
        elif kind == MRU:
            if MRU_MIN <= int.from_bytes(data, "big") <= max(self.settings.mru, frame.DEFAULT_MRU):
                self.asked[MRU] = data
        elif kind == ACCM:
            both = int.from_bytes(self.asked[ACCM], "big") | int.from_bytes(data, "big")
            self.asked[ACCM] = both.to_bytes(4, "big")
        else:
            self.rejected(kind)

    def rejected(self, kind: int) -> None:
        if kind == AUTH:
            self._other_method(None)
        else:
            super().rejected(kind)
            if kind == MAGIC:
                self.magic = NO_MAGIC

    def _other_method(self, suggested: Method | None) -> None:
        """The peer does not do the method that we demand: take the one it names if it is one of ours, else our next."""
        del self._methods[:1]
        if suggested is not None and suggested.name in self._methods:
            self._methods.remove(suggested.name)
            self._methods.insert(0, suggested.name)
        if self._methods:
            self.asked[AUTH] = PEER_METHODS[self._methods[0]].option
        else:
            # the demand stays in the request, so that the link cannot open without it
            self.lower.signal(self, Signal.FAILED, (PEER_FAILED, "the peer refuses to authenticate itself", True))

    # the peer's wishes

    def _judge(self, wishes: list[tuple[int, bytes]]) -> tuple[int, list[tuple[int, bytes]]]:
        if self.settings.access and (self.initial is None or self.state is State.OPENED):
            self.initial = options.write(wishes)
        return super()._judge(wishes)

    def consider(self, kind: int, data: bytes) -> bytes | None:
        settings = self.settings
        if settings.refuse and self.OPTIONS[kind].flag in settings.refuse:
            return None
        if kind == MRU:
            return data if int.from_bytes(data, "big") >= MRU_MIN else MRU_MIN.to_bytes(2, "big")
        if kind == MAGIC:
            return self._consider_magic(data)
        if kind == AUTH:
            method = method_of(data)
            allowed = settings.allow_methods if settings.user else ()
            if method is not None and method.name in allowed:
                return data
            return self.propose(AUTH)
        if kind == PFC:
            return data if settings.pcomp else None
        if kind == ACFC:
            return data if settings.accomp else None
        return data

    def propose(self, kind: int) -> bytes | None:
        if kind == MAGIC:
            return self.lower.random_bytes(4)
        if kind == AUTH:
            for name in self.settings.allow_methods if self.settings.user else ():
                if name in PEER_METHODS:
                    return PEER_METHODS[name].option
            return None
        return super().propose(kind)

    def _consider_magic(self, data: bytes) -> bytes | None:
        if data == self.magic and data != NO_MAGIC:
            self._loops += 1
            if self._loops >= max(2, min(LOOPS_MAX, self.settings.max_failure)):
                self.lower.signal(self, Signal.FAILED, ("Loopback", "our own frames come back", False))
        elif data != NO_MAGIC:
            self._loops = 0
            return data
        return self.propose(MAGIC)

    # what was agreed

    @property
    def mru(self) -> int:
        """Largest information field that the peer may send us."""
        return int.from_bytes(self.asked[MRU], "big") if MRU in self.asked else frame.DEFAULT_MRU

    @property
    def peer_mru(self) -> int:
        """Largest information field that the peer takes."""
        return int.from_bytes(self.granted[MRU], "big") if MRU in self.granted else frame.DEFAULT_MRU

    @property
    def accm(self) -> int:
        """Control characters that the peer escapes on an asynchronous line (RFC 1662 section 7.1)."""
        return int.from_bytes(self.asked.get(ACCM, ACCM_DEFAULT), "big")

    @property
    def peer_accm(self) -> int:
        """Control characters that we have to escape."""
        return int.from_bytes(self.granted.get(ACCM, ACCM_DEFAULT), "big")

    @property
    def demanded(self) -> Method | None:
        """How the peer has to prove itself."""
        return method_of(self.asked.get(AUTH, b""))

    @property
    def promised(self) -> Method | None:
        """How we have to prove ourselves."""
        return method_of(self.granted.get(AUTH, b""))

    # the codes above Code-Reject

    def extended(self, code: int, identifier: int, data: bytes, now: float) -> bool:
        if code == frame.ECHO_REQUEST:
            if len(data) < 4:
                raise WireError("Echo-Request without a magic number")
            answer = self.magic + data[4 : self.lower.peer_mru - 4]
            self.fire(Event.RXR, now, (frame.ECHO_REPLY, identifier, answer))
        elif code == frame.ECHO_REPLY:
            self._echo_reply(data)
        elif code == frame.PROTOCOL_REJECT:
            if self.state is State.OPENED:  # RFC 1661 section 5.7: only then
                if len(data) < 2:
                    raise WireError("Protocol-Reject without a protocol")
                self.lower.signal(self, Signal.PROTOCOL_REJECTED, int.from_bytes(data[:2], "big"))
        elif code == frame.IDENTIFICATION:
            if len(data) < 4:
                raise WireError("Identification without a magic number")
            self.peer_identification = frame.text(data[4:])
            self._peer_says(PeerSays("identification", self.peer_identification), now)
        elif code == frame.TIME_REMAINING:
            if len(data) < 8:
                raise WireError("Time-Remaining without a time")
            seconds = int.from_bytes(data[4:8], "big")
            self._peer_says(PeerSays("time-remaining", frame.text(data[8:]), seconds), now)
        elif code != frame.DISCARD_REQUEST:
            return False
        return True

    def _peer_says(self, output: PeerSays, now: float) -> None:
        """A peer that says it again and again does not fill the log."""
        told = self._told_at = self._told_at or {}
        if now - told.get(output.kind, -TOLD_INTERVAL) >= TOLD_INTERVAL:
            told[output.kind] = now
            self.lower.queue.append(output)

    def identify(self) -> None:
        """RFC 1570 section 2.1."""
        said = self.settings.identification.encode()[: self.lower.peer_mru - 8]
        if said:
            self._send((frame.IDENTIFICATION, self.lower.next_identifier(), self.magic + said))

    def tell_remaining(self, seconds: int) -> None:
        """RFC 1570 section 2.2: the session ends then."""
        data = self.magic + seconds.to_bytes(4, "big") + b"the session ends"
        self._send((frame.TIME_REMAINING, self.lower.next_identifier(), data))

    def _echo_reply(self, data: bytes) -> None:
        if len(data) < 4:
            raise WireError("Echo-Reply without a magic number")
        if data[:4] == self.magic and self.magic != NO_MAGIC:
            self.looped = True
            raise WireError("Echo-Reply with our own magic number")
        self.echo_pending = 0

    def reject_protocol(self, protocol: int, information: bytes) -> None:
        """RFC 1661 section 5.7: the rejected octets are cut to the peer's MRU."""
        data = protocol.to_bytes(2, "big") + information[: self.lower.peer_mru - 6]
        self._send((frame.PROTOCOL_REJECT, self.lower.next_identifier(), data))

    # echo

    def start_echo(self, now: float) -> None:
        self.echo_pending = 0
        self.looped = False
        interval = self.settings.lcp_echo_interval
        self.echo_at = now + interval if interval else None

    def deadline(self) -> float | None:
        if self.restart_at is None:
            return self.echo_at
        if self.echo_at is None:
            return self.restart_at
        return min(self.restart_at, self.echo_at)

    def timeout(self, now: float) -> None:
        super().timeout(now)
        if self.echo_at is not None and self.echo_at <= now:
            self._echo(now)

    def _echo(self, now: float) -> None:
        settings = self.settings
        self.echo_at = now + settings.lcp_echo_interval
        heard, self.heard = self.heard, False
        if settings.lcp_echo_adaptive and heard:
            self.echo_pending = 0
            return
        if settings.lcp_echo_failures and self.echo_pending >= settings.lcp_echo_failures:
            self.echo_at = None
            cause = "Loopback" if self.looped else "Peer Dead"
            message = f"no answer to {self.echo_pending} Echo-Requests"
            self.lower.signal(self, Signal.FAILED, (cause, message, False))
            return
        self.echo_pending += 1
        self._send((frame.ECHO_REQUEST, self.lower.next_identifier(), self.magic))

    # status

    @property
    def want(self) -> tuple[str, ...]:
        settings = self.settings
        words = set(settings.auth_methods if settings.auth else ())
        words.update(word for word in ("magic", "pcomp", "accomp") if getattr(settings, word))
        if settings.mru != frame.DEFAULT_MRU:
            words.add("mru")
        if settings.asyncmap is not None:
            words.add("asyncmap")
        return _in_order(words)

    @property
    def allow(self) -> tuple[str, ...]:
        settings = self.settings
        words = {"asyncmap", "magic", "mru"} | set(settings.allow_methods if settings.user else ())
        words.update(word for word in ("pcomp", "accomp") if getattr(settings, word))
        return _in_order(words - set(settings.refuse))

    def words(self, values: dict[int, bytes]) -> tuple[str, ...]:
        words = {self.OPTIONS[kind].flag for kind in values if kind in self.OPTIONS}
        method = method_of(values.get(AUTH, b""))
        if method is not None:
            words.add(method.name)
        return _in_order(words)

    def to_record(self, now: float) -> dict[str, Any]:
        record = super().to_record(now)
        record["magic"] = self.magic.hex()
        record["peer_identification"] = self.peer_identification
        record["echo"] = None if self.echo_at is None else self.echo_at - now
        return record

    def restore(self, record: dict[str, Any], now: float) -> None:
        super().restore(record, now)
        self.magic = bytes.fromhex(record["magic"])
        self.peer_identification = record["peer_identification"]
        self.echo_at = None if record["echo"] is None else now + record["echo"]
