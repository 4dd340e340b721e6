"""Templates for interface names: what they may hold, and the name that comes out.

`%u` user name, `%s` session id, `%t` tunnel id, `%d` the lowest free number, which the data path fills in.
A name has at most 15 octets (IFNAMSIZ less one) and no slash, colon or white space.
"""

from __future__ import annotations

import re

from prol2tp.config.problems import Wrong, shown
from prol2tp.config.types import Type

LONGEST = 15
LONGEST_NUMBER = 5
"""Digits that are kept free for %d."""

_PLACEHOLDER = re.compile(r"%(.?)")
_ALLOWED = re.compile(r"[A-Za-z0-9_.@+=-]*")
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_.@-]+")
_REFUSED = (".", "..", "all", "default")
"""Names that the kernel gives no interface: they stand for others in /sys and /proc/sys."""
_LENGTHS = {"u": 1, "s": 5, "t": 5, "d": 5}


class Template(Type):
    """An interface name or a template of one."""

    metavar = "template"

    def read(self, text: str, is_string: bool) -> str:
        for match in _PLACEHOLDER.finditer(text):
            if match[1] not in _LENGTHS:
                raise Wrong(f"%{shown(match[1])} means nothing in an interface name", "known are %u %s %t %d")
        if text.count("%d") > 1 or text.count("%u") > 1:
            raise Wrong("%d and %u may stand once in an interface name")
        fixed = _PLACEHOLDER.sub("", text)
        if not _ALLOWED.fullmatch(fixed):
            raise Wrong("an interface name has a character that it cannot have", "letters, digits and _ . - @ + =")
        if not text or text in _REFUSED:
            raise Wrong("this cannot be an interface name", 'for example "ppp%d"')
        length = len(fixed) + sum(_LENGTHS[match[1]] for match in _PLACEHOLDER.finditer(text))
        if length > LONGEST:
            raise Wrong(
                f"this interface name can become {length} octets long",
                f"at most {LONGEST}; %s, %t and %d count 5",
            )
        return text

    def write(self, value: str) -> str:
        return f'"{value}"'


def has_placeholder(template: str) -> bool:
    return "%" in template


def _taken(template: str, values: dict[str, str]) -> int:
    """Octets of the name without that of the user."""
    kept_free = LONGEST_NUMBER - 2 if "%d" in template else 0
    inserted = sum(len(values[match[1]]) for match in _PLACEHOLDER.finditer(template) if match[1] in values)
    return len(_PLACEHOLDER.sub("", template)) + inserted + kept_free


def interface_name(template: str, user: str = "", tunnel_id: int = 0, session_id: int = 0) -> str:
    """The name for one session, at most 15 octets; `%d` stays for the data path to fill in.

    The user name loses what an interface name cannot hold, and its end where it is too long; an empty one
    becomes `user`. Ids of L2TPv3 that are too long keep their last digits. The result need not be unique: the caller
    appends a number where it is taken.
    """
    values = {"s": str(session_id), "t": str(tunnel_id), "d": "%d"}
    taken = _taken(template, values)
    if taken > LONGEST:
        values |= {"s": values["s"][-LONGEST_NUMBER:], "t": values["t"][-LONGEST_NUMBER:]}
        taken = _taken(template, values)
    room = max(LONGEST - taken, 1)
    clean = _NOT_ALLOWED.sub("_", user)[:room] or "user"[:room]
    name = _PLACEHOLDER.sub(lambda m: clean if m[1] == "u" else values.get(m[1], ""), template)
    name = name if "%d" in name else name[:LONGEST]
    return name if name not in _REFUSED else "user"
