"""What `propppctl create` asks for: option words, values as the following word, in pppd's spelling where it has one.

    pppol2tp tunnel-id N session-id N [profile NAME] [OPTION [VALUE]] ...

Besides the words of `FLAGS` and `VALUES` every parameter of a `profile` block is an option, with - or _.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prol2tp.config.links import PROFILE
from prol2tp.config.parameter import read_values
from prol2tp.config.problems import ConfigError
from prol2tp.control.command import Invalid, Refused

KINDS = ("pppol2tp",)
LATER = ("pppoe", "tty")
FLAGS: dict[str, tuple[str, str]] = {
    "auth": ("auth", "true"), "noauth": ("auth", "false"),
    "defaultroute": ("default_route", "true"), "nodefaultroute": ("default_route", "false"),
    "proxyarp": ("proxy_arp", "true"), "noproxyarp": ("proxy_arp", "false"),
    "usepeerdns": ("usepeerdns", "true"),
    "ipcp-accept-local": ("accept_local", "true"), "ipcp-accept-remote": ("accept_remote", "true"),
    "noip": ("ip", "false"), "noipv6": ("ipv6", "false"),
    "noccp": ("ccp", "none"),
    "nomagic": ("magic", "false"), "nopcomp": ("pcomp", "false"), "noaccomp": ("accomp", "false"),
    "passive": ("passive", "true"), "silent": ("silent", "true"),
    "lcp-echo-adaptive": ("lcp_echo_adaptive", "true"),
}
"""Options without a value, and the parameter that each sets."""
VALUES = {
    "ifname": "interface_name", "ms-dns": "dns", "ms-wins": "nbns", "lcp-echo-failure": "lcp_echo_failures",
    "lcp-restart": "restart_interval", "lcp-max-configure": "max_configure", "lcp-max-terminate": "max_terminate",
    "lcp-max-failure": "max_failure", "pap-max-authreq": "pap_max_requests",
    "chap-max-challenge": "chap_max_challenges",
    "idle": "idle_timeout", "maxconnect": "session_timeout",
}
"""pppd's names of parameters that we call otherwise."""
METHODS = ("chap", "pap")


@dataclass(slots=True)
class Request:
    """A link to be made on an L2TP session that has none. `options`: parameters of the profile that are otherwise for
    this link, as text; checked."""

    kind: str
    tunnel_id: int
    session_id: int
    profile: str = "default"
    options: dict[str, list[str]] = field(default_factory=dict, repr=False)


def parse(words: Sequence[object]) -> Request:
    """Raises `Invalid` with what is wrong and what would be right, `Refused` for what is not there yet."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Invalid("words: must be a list of text")
    rest = [str(word) for word in words]
    kind = rest.pop(0) if rest else ""
    if kind in LATER:
        raise Refused(f"links of type {kind} are not available yet; there is {', '.join(KINDS)}")
    if kind not in KINDS:
        raise Invalid(f"the first word is the type of the link: {', '.join(KINDS)}")
    numbers: dict[str, int] = {}
    request = Request(kind, 0, 0)
    while rest:
        word = rest.pop(0)
        if word in ("tunnel-id", "session-id"):
            numbers[word] = _number(word, rest)
        elif word == "profile":
            request.profile = _value(word, rest)
        elif not _method(word, request.options):
            _option(word, rest, request.options)
    if len(numbers) < 2:
        raise Invalid(f"{kind} needs tunnel-id and session-id, each with a number")
    request.tunnel_id, request.session_id = numbers["tunnel-id"], numbers["session-id"]
    check(request.options)
    return request


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


def _number(word: str, rest: list[str]) -> int:
    text = _value(word, rest)
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise Invalid(f"{word} needs a number, not {text[:20]!r}")
    return int(text)


def _method(word: str, options: dict[str, list[str]]) -> bool:
    """require-chap, refuse-pap and the like."""
    verb, _, method = word.partition("-")
    if verb not in ("require", "refuse") or method not in METHODS:
        return False
    if verb == "require":
        options["auth"] = ["true"]
        options["auth_methods"] = [*options.get("auth_methods", []), method]
    else:
        options["allow_methods"] = [name for name in options.get("allow_methods", METHODS) if name != method]
        if not options["allow_methods"]:
            raise Invalid("every method is refused: leave one")
    return True


def _option(word: str, rest: list[str], options: dict[str, list[str]]) -> None:
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
