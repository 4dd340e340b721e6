"""Messages of rtnetlink that are rare or large, by pyroute2: to bytes without header, and from whole messages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from prol2tp.net import rtnetlink

_NTF_PROXY, _NUD_PERMANENT = 8, 128
ROUTE_FIELDS = ("family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type")
ROUTE_ATTRIBUTES = ("RTA_TABLE", "RTA_OIF", "RTA_GATEWAY", "RTA_PREFSRC", "RTA_METRICS", "RTA_MULTIPATH", "RTA_VIA",
                    "RTA_PREF")
_HEADER = 16
LENGTH_AT = _HEADER + 1
"""Where an address or route message has the length of its prefix."""


def _message(kind: str) -> Any:
    # the import takes a quarter of a second and some megabytes: only who needs it pays
    module = import_module(f"pyroute2.netlink.rtnl.{kind}")
    return getattr(module, kind)


def encoded(kind: str, fields: Mapping[str, int], attributes: list[tuple[str, Any]]) -> bytes:
    """A message without its header."""
    message = _message(kind)()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data[_HEADER:])


def decoded(kind: str, data: bytes) -> Any:
    message = _message(kind)(data)
    message.decode()
    return message


def route(fields: Mapping[str, int], attributes: list[tuple[str, Any]]) -> bytes:
    return encoded("rtmsg", fields, attributes)


def hops(attributes: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Gateway, None where there is none, and interface of each next hop of a route."""
    several = [(hop.get_attr("RTA_GATEWAY"), hop["oif"]) for hop in attributes.get("RTA_MULTIPATH") or ()]
    return several or [(attributes.get("RTA_GATEWAY"), attributes.get("RTA_OIF"))]


def proxy(address: str, ifindex: int) -> bytes:
    return encoded("ndmsg", {"family": rtnetlink.AF_INET, "ifindex": ifindex, "flags": _NTF_PROXY,
                             "state": _NUD_PERMANENT}, [("NDA_DST", address)])
