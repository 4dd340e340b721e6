"""Domain names in options: labels without compression (RFC 1035 section 3.1, RFC 8106 section 5.2, RFC 8415
section 10). As text they have no dot at the end."""

from __future__ import annotations

from collections.abc import Iterable

from prol2tp.common.wire import WireError

NAME_MAX = 255
LABEL_MAX = 63

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def encode(names: Iterable[str]) -> bytes:
    """Raises `ValueError` for what is no domain name of letters, digits, hyphens and underscores."""
    encoded = b""
    for name in names:
        one = b""
        for label in name.removesuffix(".").split("."):
            octets = label.encode()
            if not 0 < len(octets) <= LABEL_MAX or not _LETTERS.issuperset(octets):
                raise ValueError(f"{name!r} is no domain name")
            one += bytes((len(octets),)) + octets
        if len(one) >= NAME_MAX:
            raise ValueError(f"{name!r} is too long for a domain name")
        encoded += one + b"\0"
    return encoded


def decode(data: bytes) -> tuple[str, ...]:
    """Every name in `data`; empty ones (padding) are left out. Raises `WireError`."""
    names: list[str] = []
    labels: list[str] = []
    position = start = 0
    while position < len(data):
        length = data[position]
        position += 1
        if not length:
            if labels:
                names.append(".".join(labels))
            labels, start = [], position
            continue
        label = data[position : position + length]
        position += length
        if length > LABEL_MAX or position > len(data) or position - start >= NAME_MAX:
            raise WireError("domain name with a label past its end")
        if not _LETTERS.issuperset(label):
            raise WireError("domain name of other characters")
        labels.append(label.decode())
    if labels:
        raise WireError("domain name without an end")
    return tuple(names)
