"""What one end of a link hands over to another that takes its place (RFC 2661 section 4.4.5, RFC 3437): LCP as the peer
has agreed to it, and the peer's first step of authentication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from prol2tp.common.wire import WireError
from prol2tp.ppp import frame, options
from prol2tp.ppp.auth import PEER_METHODS, Method, Proof, method_of
from prol2tp.ppp.challenge import USE_NT_RESPONSE
from prol2tp.ppp.lcp import ACCM, ACFC, AUTH, MAGIC, MRU, MRU_MIN, NO_MAGIC, OPTIONS, PFC
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.phase import Phase
from prol2tp.ppp.settings import LinkSettings

if TYPE_CHECKING:
    from prol2tp.ppp.link import Link

AUTHEN_TYPES = {
    1: "text",
    2: "chap",
    3: "pap",
    4: "none",
    5: "mschapv1",
    7: "eap",
}
"""Values of the Proxy Authen Type AVP, as IANA has them."""

_TYPE_OF = {name: number for number, name in AUTHEN_TYPES.items()}
"""There is none for MS-CHAPv2: an LNS that took it for another CHAP would turn the user away. It is not handed over,
and the LNS challenges anew on the LCP that was."""


@dataclass(slots=True)
class ProxyRecord:
    """None: not known, the AVP is left out. All three Configure-Requests are options without code, id and length."""

    initial_received_confreq: bytes | None = None
    last_sent_confreq: bytes | None = None
    last_received_confreq: bytes | None = None
    authen_type: int | None = None
    authen_name: bytes | None = None
    authen_challenge: bytes | None = field(default=None, repr=False)
    authen_id: int | None = None
    authen_response: bytes | None = field(default=None, repr=False)
    want_options: bytes | None = None
    """LCP Want Options (RFC 3437 section 2.1): what an LNS that negotiates should ask for."""
    allow_options: bytes | None = None
    """LCP Allow Options (section 2.2): what it may let the peer have."""

    def to_record(self) -> dict[str, Any]:
        """As JSON-able data: octets as hex text, what is not known left out."""
        found = {name: getattr(self, name) for name in _FIELDS}
        return {name: value.hex() if type(value) is bytes else value
                for name, value in found.items() if value is not None}

    @classmethod
    def from_record(cls, record: Any) -> ProxyRecord:
        """Raises `ValueError` for what `to_record` cannot have written. Names that it does not know are passed over."""
        if not isinstance(record, Mapping):
            raise ValueError("a proxy record must be an object")
        values: dict[str, Any] = {}
        for name, value in record.items():
            if name not in _FIELDS:
                continue
            if name in _NUMBERS:
                if type(value) is not int or not 0 <= value <= 0xFFFF:
                    raise ValueError(f"{name} must be a number from 0 to 65535")
                values[name] = value
            else:
                values[name] = _octets(name, value)
        return cls(**values)

    def options(self) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """What the peer has acknowledged, and what it was. Raises `WireError`."""
        return dict(options.read(self.last_sent_confreq or b"")), dict(options.read(self.last_received_confreq or b""))

    def without_authentication(self) -> ProxyRecord:
        """LCP alone; the number of the last question stays, so that ours gets another."""
        return replace(self, authen_type=None, authen_name=None, authen_challenge=None, authen_response=None)

    def without_lcp(self) -> ProxyRecord:
        """Nothing to take over, but that the peer's LCP is open and how it may be negotiated."""
        return ProxyRecord(want_options=self.want_options, allow_options=self.allow_options)


_FIELDS = tuple(one.name for one in fields(ProxyRecord))
_NUMBERS = frozenset(("authen_type", "authen_id"))


def _octets(name: str, value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be octets as hex text") from None


# the end that takes over


def misfit(record: ProxyRecord, settings: LinkSettings) -> str:
    """Why LCP has to be negotiated anew, as text; empty: it can be taken as it is."""
    # a peer that asks for nothing sends empty requests, and a LAC leaves empty AVPs out
    unheard = record.last_received_confreq is None and record.initial_received_confreq is not None
    if record.last_sent_confreq is None or unheard:
        return "nobody has said what was agreed on"
    try:
        asked, granted = record.options()
        for direction in (record.last_sent_confreq, record.last_received_confreq or b""):
            _check_options(direction)
    except WireError as error:
        return str(error)
    if MAGIC in asked and asked[MAGIC] == granted.get(MAGIC) != NO_MAGIC:
        return "both ends have the same magic number"
    if int.from_bytes(asked.get(MRU, OPTIONS[MRU].default), "big") > (settings.proxy_mru or settings.mru):
        return "the peer may send larger packets than we take"
    return _authentication_misfit(asked.get(AUTH), granted.get(AUTH), settings)


def _check_options(data: bytes) -> None:
    seen = set()
    for kind, value in options.read(data):
        option = OPTIONS.get(kind)
        if option is None:
            raise WireError(f"LCP option {kind} is not spoken here")
        if kind in seen or not option.fits(value):
            raise WireError(f"{option.name} twice or of a wrong length")
        if kind == MRU and int.from_bytes(value, "big") < MRU_MIN:
            raise WireError("MRU too small to work with")
        seen.add(kind)


def _authentication_misfit(ours: bytes | None, peers: bytes | None, settings: LinkSettings) -> str:
    if ours is None and settings.auth:
        return "the peer was not asked to authenticate itself"
    if ours is not None:
        demanded = method_of(ours)
        if not settings.auth:
            return "the peer was asked to authenticate itself"
        if demanded is None or demanded.name not in settings.auth_methods:
            return "the peer was asked to authenticate itself by a method that is not one of ours"
    if peers is not None:
        promised = method_of(peers)
        if promised is None or not settings.user or promised.name not in settings.allow_methods:
            return "the peer was promised an authentication that is not ours to give"
    return ""


def proof(record: ProxyRecord, method: Method) -> Proof | None:
    """What the peer has given as its proof by the method that LCP has agreed on; None: nothing, or of another one. What
    it proves is the business of who is asked; which CHAP it is LCP says, as there is no type for each of them."""
    protocol = _PROTOCOL_OF.get(AUTHEN_TYPES.get(record.authen_type or 0, ""))
    if protocol != method.protocol or record.authen_id is None or record.authen_id > 255:
        return None
    if record.authen_name is None or not record.authen_response:
        return None
    return Proof(record.authen_id, record.authen_name, record.authen_challenge or b"", record.authen_response)


_PROTOCOL_OF = {name: PEER_METHODS[name].protocol for name in AUTHEN_TYPES.values() if name in PEER_METHODS}


def restricted(settings: LinkSettings, record: ProxyRecord) -> LinkSettings:
    """The settings for a link whose LAC has said what LCP may agree on (RFC 3437): the same ones when it has not. What
    it says badly is passed over."""
    changes: dict[str, Any] = {}
    want, allow = _readable(record.want_options), _readable(record.allow_options)
    if want is not None:
        if MRU in want:
            changes["mru"] = max(MRU_MIN, min(settings.mru, int.from_bytes(want[MRU], "big")))
        if ACCM in want:
            changes["asyncmap"] = int.from_bytes(want[ACCM], "big") | (settings.asyncmap or 0)
        for kind, name in ((PFC, "pcomp"), (ACFC, "accomp")):
            if kind not in want:
                changes[name] = False
    if allow is not None:
        refused = {option.flag for kind, option in OPTIONS.items() if option.flag and kind not in allow}
        changes["refuse"] = tuple(sorted(refused | set(settings.refuse)))
    return replace(settings, **changes) if changes else settings


def _readable(data: bytes | None) -> dict[int, bytes] | None:
    if data is None:
        return None
    try:
        return {kind: value for kind, value in options.read(data) if kind in OPTIONS and OPTIONS[kind].fits(value)}
    except WireError:
        return None


def for_ethernet(mtu: int) -> ProxyRecord:
    """What a LAC says of a PPPoE session that it has not negotiated with (RFC 3437, RFC 2516 section 7).

    :param mtu: largest PPP payload.
    """
    mru = (MRU, min(mtu, frame.DEFAULT_MRU).to_bytes(2, "big"))
    return ProxyRecord(want_options=options.write([mru, (MAGIC, NO_MAGIC)]),
                       allow_options=options.write([(MRU, OPTIONS[MRU].default), (AUTH, PEER_METHODS["pap"].option),
                                                    (MAGIC, NO_MAGIC)]))


# the end that hands over


def hand_over(link: Link) -> ProxyRecord | None:
    if not link.settings.access:
        raise ValueError("only a link with `access` is handed over")
    asking = link._asking
    question, stale = asking.question, asking.question is not None and not asking.matters
    if stale or link.phase is not Phase.AUTHENTICATE:
        _, following = asking.answered()
        if following is not None:
            link._lower.queue.append(following)
        return None
    lcp = link.lcp
    found = ProxyRecord(lcp.initial, options.write(lcp.asked.items()), options.write(lcp.granted.items()))
    if question is not None:
        _give_proof(found, question)
    elif link._demanded is None:
        found.authen_type = _TYPE_OF["none"]
    link._silence()
    return found


def _give_proof(record: ProxyRecord, question: AskAuthentication) -> None:
    response = _RESPONSES.get(question.method, lambda _: b"")(question)
    if not response:
        return
    record.authen_type = _TYPE_OF[question.method]
    record.authen_name = question.user
    record.authen_challenge = question.challenge or None
    record.authen_id = question.identifier
    record.authen_response = response


def _mschapv1_value(question: AskAuthentication) -> bytes:
    if not question.response:
        return b""  # an LM-Response alone, which nobody takes
    return bytes(24) + question.response + bytes((USE_NT_RESPONSE,))


_RESPONSES = {
    "pap": lambda question: question.password,
    "chap": lambda question: question.response,
    "mschapv1": _mschapv1_value,
    "eap": lambda question: question.eap,
}
