"""What `propppctl create` asks for: option words, values as the following word, in pppd's spelling where it has one.

    pppol2tp tunnel-id N session-id N [profile NAME] [OPTION [VALUE]] ...
    pppoe interface IF [service NAME] [ac NAME] [host-uniq HEX] [profile NAME] [OPTION [VALUE]] ...
    tty DEVICE [SPEED] [profile NAME] [OPTION [VALUE]] ...

Besides the words of `WORDS`, `FLAGS` and `VALUES` every parameter of a `profile` block is an option, with - or _.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from prol2tp.config.links import PROFILE
from prol2tp.config.parameter import read_values
from prol2tp.config.problems import ConfigError
from prol2tp.control.command import Invalid
from prol2tp.ppp.hdlc import NEVER_ESCAPED

Words = Mapping[str, tuple[str, Callable[[str], Any]]]
Flags = Mapping[str, tuple[str, Any]]

FLAGS: dict[str, tuple[str, str]] = {
    "auth": ("auth", "true"), "noauth": ("auth", "false"),
    "defaultroute": ("default_route", "true"), "nodefaultroute": ("default_route", "false"),
    "proxyarp": ("proxy_arp", "true"), "noproxyarp": ("proxy_arp", "false"),
    "usepeerdns": ("usepeerdns", "true"),
    "ipcp-accept-local": ("accept_local", "true"), "ipcp-accept-remote": ("accept_remote", "true"),
    "noip": ("ip", "false"), "noipv6": ("ipv6", "false"),
    "noccp": ("ccp", "none"),
    "require-mppe": ("mppe_required", "true"), "nomppe": ("mppe_required", "false"),
    "mppe-stateful": ("mppe_stateful", "true"), "nomppe-stateful": ("mppe_stateful", "false"),
    "nomagic": ("magic", "false"), "nopcomp": ("pcomp", "false"), "noaccomp": ("accomp", "false"),
    "passive": ("passive", "true"), "silent": ("silent", "true"),
    "lcp-echo-adaptive": ("lcp_echo_adaptive", "true"),
}
"""Options without a value, and the parameter that each sets."""
VALUES = {
    "ifname": "interface_name", "ms-dns": "dns", "ms-wins": "nbns", "lcp-echo-failure": "lcp_echo_failures",
    "lcp-restart": "restart_interval", "lcp-max-configure": "max_configure", "lcp-max-terminate": "max_terminate",
    "lcp-max-failure": "max_failure", "pap-max-authreq": "pap_max_requests",
    "chap-max-challenge": "chap_max_challenges", "eap-max-sreq": "eap_max_requests", "eap-max-rreq": "eap_max_received",
    "ca": "tls_ca", "cert": "tls_certificate", "key": "tls_key", "crl": "tls_crl",
    "idle": "idle_timeout", "maxconnect": "session_timeout",
}
"""pppd's names of parameters that we call otherwise."""
METHODS = {
    "chap": "chap", "pap": "pap", "mschap": "mschapv1", "mschap-v2": "mschapv2", "mschapv1": "mschapv1",
    "mschapv2": "mschapv2", "eap": "eap",
}
"""After require- and refuse-: pppd's words for methods, and ours."""
CODECS = ("deflate", "predictor1")
"""And each with no before it."""
STRENGTHS = {"mppe-128": "128", "mppe-56": "56", "mppe-40": "40"}
"""After require-."""


PASSED_OVER = frozenset((
    "nodetach", "updetach", "lock", "nolock", "novj", "novjccomp", "noipdefault", "hide-password", "nobsdcomp"))
"""Words of pppd for what we always do, or never."""
_ADDRESSES = re.compile(r"(?=.*\d)((?:\d{1,3}(?:\.\d{1,3}){3})?):((?:\d{1,3}(?:\.\d{1,3}){3})?)")
"""LOCAL:REMOTE, either may be missing."""


@dataclass(slots=True)
class Request:
    """A link to be made. `options`: parameters of the profile that are otherwise for this link, as text; checked."""

    kind: ClassVar[str]
    profile: str = "default"
    options: dict[str, list[str]] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class L2TPRequest(Request):
    """On an L2TP session that has none."""

    kind: ClassVar[str] = "pppol2tp"
    tunnel_id: int = 0
    session_id: int = 0


@dataclass(slots=True)
class DialRequest(Request):
    """On a line that we open ourselves. Times in seconds."""

    persist: bool = False
    """Open it again when the link has ended."""
    maxfail: int = 10
    """Tries in a row without success after which that ends; 0: never."""
    holdoff: int = 30
    """Time to the next try, doubled while there is no success."""


@dataclass(slots=True)
class PPPoERequest(DialRequest):
    """As a PPPoE host."""

    kind: ClassVar[str] = "pppoe"
    interface: str = ""
    service: str = ""
    ac: str = ""
    host_uniq: bytes = b""
    vlan: int = 0
    """0: none."""
    padi_attempts: int = 3
    padi_timeout: int = 3


@dataclass(slots=True)
class TtyRequest(DialRequest):
    """Over a tty."""

    kind: ClassVar[str] = "tty"
    device: str = ""
    speed: int = 0
    crtscts: bool = False
    xonxoff: bool = False
    modem: bool = True
    escape: bytes = b""
    receive_all: bool = False


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
            raise ValueError(f"needs a number from {least} to {most}, not {text[:20]!r}")
        return int(text)

    return read


def _hexadecimal(text: str) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if not 0 < len(value) <= 64 or " " in text:
        raise ValueError(f"needs 1 to 64 octets as hexadecimal digits, not {text[:40]!r}")
    return value


def _octets(text: str) -> bytes:
    try:
        value = bytes(int(part, 16) for part in text.split(","))
    except ValueError:
        raise ValueError(f"needs octets like 11,13,ff, not {text[:40]!r}") from None
    if bad := sorted(NEVER_ESCAPED & set(value)):
        raise ValueError(f"cannot have octet {bad[0]:02x}: nobody could tell it from others when it is escaped")
    return value


def _name(text: str) -> str:
    if not 0 < len(text.encode(errors="replace")) <= 255 or not text.isprintable():
        raise ValueError("needs 1 to 255 octets of printable text")
    return text


_U32 = _number(0, 2**32 - 1)
_DIAL_WORDS: Words = {"maxfail": ("maxfail", _U32), "holdoff": ("holdoff", _number(0, 86400))}
_DIAL_FLAGS: Flags = {"persist": ("persist", True), "nopersist": ("persist", False)}
WORDS: dict[str, Words] = {
    "pppol2tp": {"tunnel-id": ("tunnel_id", _U32), "session-id": ("session_id", _U32)},
    "pppoe": {
        "interface": ("interface", _name),
        "service": ("service", _name), "pppoe-service": ("service", _name), "rp_pppoe_service": ("service", _name),
        "ac": ("ac", _name), "pppoe-ac": ("ac", _name), "rp_pppoe_ac": ("ac", _name),
        "host-uniq": ("host_uniq", _hexadecimal), "pppoe-host-uniq": ("host_uniq", _hexadecimal),
        "vlan": ("vlan", _number(1, 4094)),
        "pppoe-padi-attempts": ("padi_attempts", _number(1, 1000)),
        "pppoe-padi-timeout": ("padi_timeout", _number(1, 60)),
        **_DIAL_WORDS,
    },
    "tty": {"escape": ("escape", _octets), **_DIAL_WORDS},
}
"""Words of a kind of link with a value: the field of its request, and what reads it."""
FIELD_FLAGS: dict[str, Flags] = {
    "pppol2tp": {},
    "pppoe": _DIAL_FLAGS,
    "tty": {
        "local": ("modem", False), "modem": ("modem", True), "crtscts": ("crtscts", True),
        "nocrtscts": ("crtscts", False), "xonxoff": ("xonxoff", True), "receive-all": ("receive_all", True),
        **_DIAL_FLAGS,
    },
}
"""Words of a kind of link without a value."""
REQUESTS: dict[str, type[Request]] = {request.kind: request for request in (L2TPRequest, PPPoERequest, TtyRequest)}


def parse(words: Sequence[object]) -> Request:
    """Raises `Invalid` with what is wrong and what would be right."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Invalid("words: must be a list of text")
    rest = [str(word) for word in words]
    kind = rest.pop(0) if rest else ""
    if kind not in REQUESTS:
        raise Invalid(f"the first word is the type of the link: {', '.join(REQUESTS)}")
    request = REQUESTS[kind]()
    given: set[str] = set()
    while rest:
        word = rest.pop(0)
        name, read = WORDS[kind].get(word, ("", None))
        if read is not None:
            given.add(name)
            setattr(request, name, _read(word, read, _value(word, rest)))
        elif word in FIELD_FLAGS[kind]:
            setattr(request, *FIELD_FLAGS[kind][word])
        elif word == "profile":
            request.profile = _value(word, rest)
        elif word in PASSED_OVER:
            continue
        elif not (_bare(request, word, rest) or _method(word, request.options) or _codec(word, rest, request.options)):
            _option(word, rest, request.options)
    _complete(request, given)
    check(request.options)
    return request


def _read(word: str, read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise Invalid(f"{word} {error}") from None


def _bare(request: Request, word: str, rest: list[str]) -> bool:
    """A word of one kind that stands for itself."""
    if isinstance(request, TtyRequest):
        if not request.device:
            request.device = _read("tty", _name, word if "/" in word else f"/dev/{word}")
        elif word.isascii() and word.isdigit():
            request.speed = _read("the speed", _U32, word)
        elif word in ("asyncmap", "default-asyncmap"):
            request.options["asyncmap"] = [_map(word, rest)]
        else:
            return False
        return True
    if isinstance(request, PPPoERequest):
        if word.startswith("nic-"):
            request.interface = _read(word, _name, word.removeprefix("nic-"))
            return True
        if word == "plugin" and rest and rest[0].rpartition("/")[2] in _PLUGINS:
            rest.pop(0)
            return True
    return False


_PLUGINS = ("rp-pppoe.so", "pppoe.so")


def _map(word: str, rest: list[str]) -> str:
    """pppd writes the map in hexadecimal without 0x."""
    if word == "default-asyncmap":
        return "0xffffffff"
    text = _value(word, rest)
    digits = text.removeprefix("0x")
    if not 0 < len(digits) <= 8 or set(digits) - set("0123456789abcdefABCDEF"):
        raise Invalid(f"{word} needs a 32-bit map in hexadecimal, for example a0000, not {text[:20]!r}")
    return f"0x{digits}"


def _complete(request: Request, given: set[str]) -> None:
    if isinstance(request, L2TPRequest) and given != {"tunnel_id", "session_id"}:
        raise Invalid("pppol2tp needs tunnel-id and session-id, each with a number")
    if isinstance(request, PPPoERequest) and not request.interface:
        raise Invalid("pppoe needs an Ethernet interface, for example: interface eth0")
    if isinstance(request, TtyRequest) and not request.device:
        raise Invalid("tty needs a device, for example /dev/ttyS0")


def check(options: dict[str, list[str]]) -> dict[str, object]:
    """The values of options. Raises `Invalid`."""
    try:
        return read_values(PROFILE, options)
    except ConfigError as error:
        raise Invalid("; ".join(str(problem) for problem in error.problems)) from None


def _value(word: str, rest: list[str]) -> str:
    if not rest:
        raise Invalid(f"{word} needs a value")
    return rest.pop(0)


def _codec(word: str, rest: list[str], options: dict[str, list[str]]) -> bool:
    """deflate N[,N], predictor1, nodeflate, nopredictor1: what is in ccp, in their order."""
    name = word.removeprefix("no")
    if name not in CODECS:
        return False
    wanted = name == word
    if wanted and name == "deflate":
        window = _value(word, rest)
        if window.split(",") not in (["0"], ["0", "0"], ["15"], ["15", "15"]):
            raise Invalid(f"deflate needs the window, 15, or 0 for none, not {window[:20]!r}")
        wanted = window[0] != "0"
    named = [other for other in options.get("ccp", []) if other not in (name, "none")]
    options["ccp"] = [*named, *([name] if wanted else [])] or ["none"]
    return True


def _method(word: str, options: dict[str, list[str]]) -> bool:
    """require-chap, refuse-pap, require-mppe-128 and the like."""
    verb, _, name = word.partition("-")
    if verb == "require" and name in STRENGTHS:
        options["mppe_required"] = ["true"]
        options["mppe_strengths"] = [*options.get("mppe_strengths", []), STRENGTHS[name]]
        return True
    method = METHODS.get(name)
    if verb not in ("require", "refuse") or method is None:
        return False
    parameter = "auth_methods" if verb == "require" else "refuse_methods"
    named = options.setdefault(parameter, [])
    if method not in named:
        named.append(method)
    if verb == "require":
        options["auth"] = ["true"]
    elif len(named) == len(set(METHODS.values())):
        raise Invalid("every method is refused: leave one")
    return True


def _option(word: str, rest: list[str], options: dict[str, list[str]]) -> None:
    if addresses := _ADDRESSES.fullmatch(word):
        for name, address in zip(("local_ip", "peer_ip"), addresses.groups(), strict=True):
            if address:
                options[name] = [address]
        return
    if word == "unit":
        options["interface_name"] = [f"ppp{_read(word, _number(0, 99999), _value(word, rest))}"]
        return
    if word in FLAGS:
        name, value = FLAGS[word]
        options[name] = [value]
        return
    name = VALUES.get(word, word.replace("-", "_"))
    parameter = PROFILE.parameters.get(name)
    if parameter is None:
        raise Invalid(f"there is no option {word[:40]!r}; propppctl(1) and propppd.conf(5) have them")
    given = options.setdefault(name, [])
    if not parameter.many:
        given.clear()
    given.append(_value(word, rest))
