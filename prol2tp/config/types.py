"""Types of values: how each is written, what it becomes, and what is said when it is wrong.

`read` takes one token; `write` gives text that reads back as the same value. A type that takes all values of
its parameter at once (`Flags`) has `whole` set and reads a list.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prol2tp.config.lexer import quoted
from prol2tp.config.problems import Wrong, right_name, shown

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_DIGITS = re.compile(r"[0-9]{1,12}")
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")
_SPEED = re.compile(r"([0-9]{1,12})([kMG]?)")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_PORT = re.compile(r"[0-9]{1,5}")
_WORD = re.compile(r"""[^\s{};"#\x00-\x1f\x7f][^\s{};"\x00-\x1f\x7f]*""")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
"""The one way to write an IPv4 address: five times as fast as the module."""
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "k": 1000, "M": 1_000_000, "G": 1_000_000_000}


class Address(NamedTuple):
    """A place to send to or listen on: host is an address or a name, port 0 means any."""

    host: str
    port: int

    @property
    def is_name(self) -> bool:
        """The host has to be resolved first."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Range(NamedTuple):
    """Addresses from first to last, both included."""

    first: IPAddress
    last: IPAddress

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __contains__(self, address: object) -> bool:
        return type(address) is type(self.first) and self.first <= address <= self.last  # type: ignore[operator]


class Speed(NamedTuple):
    """Bits per second; rx 0: as tx."""

    tx: int
    rx: int


class Type:
    """Base. `metavar` stands for a value in usage lines, `secret` values are never shown."""

    metavar = "value"
    secret = False
    whole = False

    def read(self, text: str, is_string: bool) -> Any:
        """The value of one token; raises `Wrong`."""
        raise NotImplementedError

    def read_all(self, texts: Sequence[tuple[str, bool]]) -> Any:
        """For types with `whole`: the value of all tokens."""
        raise NotImplementedError

    def write(self, value: Any) -> str:
        return str(value)


class Boolean(Type):
    metavar = "true|false"

    def read(self, text: str, is_string: bool) -> bool:
        if text == "true":
            return True
        if text == "false":
            return False
        raise Wrong(f"{shown(text)} is no boolean", "write true or false")

    def write(self, value: bool) -> str:
        return "true" if value else "false"


class Number(Type):
    """An unsigned integer. `unit` is for people."""

    def __init__(self, low: int, high: int, unit: str = "number") -> None:
        self.low, self.high, self.metavar = low, high, unit

    def read(self, text: str, is_string: bool) -> int:
        if _DIGITS.fullmatch(text):
            value = int(text)
            if self.low <= value <= self.high:
                return value
            raise Wrong(f"{value} is out of range", f"from {self.low} to {self.high}")
        raise Wrong(f"{shown(text)} is no number", f"a number from {self.low} to {self.high}")


class DsField(Number):
    """The octet of RFC 2474, 0 to 255; `copy` is -1."""

    def __init__(self) -> None:
        super().__init__(0, 255)
        self.metavar = "number|copy"

    def read(self, text: str, is_string: bool) -> int:
        return -1 if text == "copy" else super().read(text, is_string)

    def write(self, value: int) -> str:
        return "copy" if value < 0 else str(value)


class Hexadecimal(Type):
    """A 32-bit mask as `0x` and hexadecimal digits, or decimal."""

    metavar = "mask"

    def read(self, text: str, is_string: bool) -> int:
        match = re.fullmatch(r"0x([0-9a-fA-F]{1,8})", text)
        value = int(match[1], 16) if match else int(text) if _DIGITS.fullmatch(text) else 1 << 32
        if value >= 1 << 32:
            raise Wrong(f"{shown(text)} is no 32-bit mask", "for example 0x000a0000")
        return value

    def write(self, value: int) -> str:
        return f"{value:#010x}"


class InterfaceId(Type):
    """The 64-bit interface identifier of IPv6CP (RFC 5072 section 4.1), written as the last half of an
    address."""

    metavar = "identifier"

    def read(self, text: str, is_string: bool) -> int:
        try:
            value = int(ipaddress.IPv6Address(text if text.startswith("::") else f"::{text}"))
        except ValueError:
            value = 0
        if not 0 < value < 1 << 64:
            raise Wrong(f"{shown(text)} is no interface identifier", "for example ::1 or ::0200:5eff:fe00:1")
        return value

    def write(self, value: int) -> str:
        return str(ipaddress.IPv6Address(value))


class Seconds(Type):
    """A time in seconds; the suffixes s, m, h and d are understood."""

    metavar = "seconds"

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def read(self, text: str, is_string: bool) -> float:
        match = _SECONDS.fullmatch(text)
        if match is None:
            raise Wrong(f"{shown(text)} is no time", "seconds, or a number with s, m, h or d: 90, 1.5, 5m")
        value = float(match[1]) * _UNITS[match[2]]
        if not self.low <= value <= self.high:
            raise Wrong(
                f"{shown(text)} is out of range",
                f"from {self.write(self.low)} to {self.write(self.high)} seconds",
            )
        return value

    def write(self, value: float) -> str:
        return f"{value:.3f}".rstrip("0").rstrip(".")


class Text(Type):
    """Free text, at most `most` octets as UTF-8."""

    metavar = "text"

    def __init__(self, most: int = 255, metavar: str = "text") -> None:
        self.most, self.metavar = most, metavar

    def read(self, text: str, is_string: bool) -> str:
        size = len(text) if text.isascii() else len(text.encode())
        if not 0 < size <= self.most:
            raise Wrong("this text is empty" if not size else "this text is too long", f"1 to {self.most} octets")
        return text

    def write(self, value: str) -> str:
        return quoted(value)


class File(Text):
    """The name of a file, from the root."""

    def __init__(self) -> None:
        super().__init__(4095, "file")

    def read(self, text: str, is_string: bool) -> str:
        text = super().read(text, is_string)
        if not text.startswith("/") or "\0" in text:
            raise Wrong(f"{shown(text)} is no name of a file", "a path from the root, for example /etc/prol2tp/ca.pem")
        return text


class Reference(Text):
    """The name of another block."""

    def __init__(self, to: str) -> None:
        super().__init__(255, "name")
        self.to = to


class Password(Text):
    """Text that is never shown."""

    secret = True

    def __init__(self) -> None:
        super().__init__(255, "password")


class Octets(Type):
    """Octets: text (its UTF-8 form) or, unquoted, `hex:` and an even number of hexadecimal digits."""

    def __init__(self, most: int = 255, metavar: str = "text|hex:", secret: bool = False) -> None:
        self.most, self.metavar, self.secret = most, metavar, secret

    def read(self, text: str, is_string: bool) -> bytes:
        value = text.encode() if is_string or not text.startswith("hex:") else self._hexadecimal(text[4:])
        if not 0 < len(value) <= self.most:
            raise Wrong("this value is empty" if not value else "this value is too long", f"1 to {self.most} octets")
        return value

    def _hexadecimal(self, digits: str) -> bytes:
        if not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", digits):
            raise Wrong("hex: takes an even number of hexadecimal digits", "for example hex:00112233")
        return bytes.fromhex(digits)

    def write(self, value: bytes) -> str:
        return f"hex:{value.hex()}"


class Mac(Type):
    """A MAC address as six octets."""

    metavar = "mac"

    def read(self, text: str, is_string: bool) -> bytes:
        if not re.fullmatch(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", text):
            raise Wrong(f"{shown(text)} is no MAC address", "for example 11:22:ef:01:a3:b9")
        return bytes.fromhex(text.replace(":", ""))

    def write(self, value: bytes) -> str:
        return value.hex(":")


class Choice(Type):
    """One of a few words. `choices` maps a word to its value, `refused` a word that is known but cannot be
    had to the reason."""

    def __init__(self, choices: Mapping[str, Any] | Sequence[str], refused: Mapping[str, str] | None = None) -> None:
        self.choices: dict[str, Any] = (
            dict(choices) if isinstance(choices, Mapping) else {word: word for word in choices}
        )
        self.refused = dict(refused or {})
        self.metavar = "|".join(self.choices)

    def read(self, text: str, is_string: bool) -> Any:
        try:
            return self.choices[text]
        except KeyError:
            pass
        if text in self.refused:
            raise Wrong(f"{text} {self.refused[text]}", f"use {' or '.join(self.choices)}")
        raise Wrong(f"{shown(text)} is not known here", right_name(text, self.choices, "choice"))

    def write(self, value: Any) -> str:
        return next(word for word, meaning in self.choices.items() if meaning == value)


class Flags(Choice):
    """Several of a few words, added up; the word whose value is 0 stands alone."""

    whole = True

    def read_all(self, texts: Sequence[tuple[str, bool]]) -> int:
        values = [self.read(text, is_string) for text, is_string in texts]
        if 0 in values and len(values) > 1:
            raise Wrong(f"{self.write(0)} stands alone")
        total = 0
        for value in values:
            total |= value
        return total

    def write(self, value: int) -> str:
        words = [word for word, bit in self.choices.items() if bit and bit & value]
        return " ".join(words) if words else super().write(0)


class Ip(Type):
    """An address, as normalised text. `version` 4 or 6, or 0 for both."""

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self.metavar = {0: "ip", 4: "ipv4", 6: "ipv6"}[version]

    def read(self, text: str, is_string: bool) -> str:
        if self.version != 6 and _IPV4.fullmatch(text):
            return text
        try:
            value = ipaddress.ip_address(text)
        except ValueError:
            value = None
        if value is None or self.version and value.version != self.version:
            kind = f"IPv{self.version} address" if self.version else "IP address"
            example = "2001:db8::1" if self.version == 6 else "192.0.2.1"
            raise Wrong(f"{shown(text)} is no {kind}", f"for example {example}")
        return str(value)


class Host(Type):
    """An address, as normalised text, or a host name that somebody has to resolve."""

    metavar = "address|name"

    def read(self, text: str, is_string: bool) -> str:
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            if _is_host_name(text):
                return text
        raise Wrong(f"{shown(text)} is no address and no host name", "for example 192.0.2.1 or host.example.net")


class Endpoint(Type):
    """Address and optional port in the form of RFC 3986 section 3.2.2: `10.5.0.1:9000`, `[2001:db8::1]:9000`.

    An IPv6 address without port needs no brackets.
    """

    def __init__(self, port: int, names: bool) -> None:
        self.port, self.names = port, names
        self.metavar = "address[:port]" if not names else "address|name[:port]"

    def read(self, text: str, is_string: bool) -> Address:
        host, port_text = self._split(text)
        port = self.port
        if port_text is not None:
            if not _PORT.fullmatch(port_text) or not 0 < int(port_text) < 65536:
                raise Wrong(f"{shown(port_text) or 'nothing'} is no port", "from 1 to 65535")
            port = int(port_text)
        try:
            return Address(str(ipaddress.ip_address(host)), port)
        except ValueError:
            pass
        if self.names and not text.startswith("[") and _is_host_name(host):
            return Address(host, port)
        what = "an address or a host name" if self.names else "an address"
        raise Wrong(f"{shown(host)} is not {what}", "for example 192.0.2.1:1701 or [2001:db8::1]:1701")

    @staticmethod
    def _split(text: str) -> tuple[str, str | None]:
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if bracket and ":" in host and (not rest or rest.startswith(":")):
                return host, rest[1:] if rest else None
            return text, None
        if text.count(":") == 1:
            host, _, port = text.partition(":")
            return host, port
        return text, None

    def write(self, value: Address) -> str:
        if value.port:
            return str(value)
        return f"[{value.host}]" if ":" in value.host else value.host


def _is_host_name(text: str) -> bool:
    labels = text.rstrip(".").split(".") if text else []
    if not labels or len(text) > 253 or labels[-1].isdigit():
        return False  # all digits at the end: a mistyped address
    return all(_LABEL.fullmatch(label) for label in labels)


class Prefix(Type):
    """A network; an address alone is a network of one. `any` stands for every address where `any_too`."""

    metavar = "prefix"

    def __init__(self, version: int = 0) -> None:
        self.version = version

    def read(self, text: str, is_string: bool) -> IPNetwork:
        try:
            value = ipaddress.ip_network(text)
        except ValueError:
            value = self._refuse(text)
        if "%" in text:
            raise Wrong("a prefix has no zone")
        if self.version and value.version != self.version:
            raise Wrong(f"{shown(text)} is no IPv{self.version} prefix")
        return value

    @staticmethod
    def _refuse(text: str) -> IPNetwork:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise Wrong(f"{shown(text)} is no prefix", "for example 10.99.0.0/24 or 2001:db8::/32") from None
        raise Wrong(f"{shown(text)} has bits set behind its length", f"did you mean {network}?")


class Peers(Prefix):
    """Prefixes of peers. `any` stands for all addresses of both versions."""

    metavar = "address|prefix|any"
    whole = True

    def read_all(self, texts: Sequence[tuple[str, bool]]) -> tuple[IPNetwork, ...]:
        if any(text == "any" for text, _ in texts):
            if len(texts) > 1:
                raise Wrong("any stands alone")
            return (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
        return tuple(self.read(text, is_string) for text, is_string in texts)

    def write(self, value: Sequence[IPNetwork]) -> str:
        return " ".join(str(network) for network in value)


class AddressRange(Type):
    """`10.5.1.100-10.5.1.199`, IPv4."""

    metavar = "range"

    def read(self, text: str, is_string: bool) -> Range:
        first_text, hyphen, last_text = text.partition("-")
        try:
            first = ipaddress.IPv4Address(first_text)
            last = ipaddress.IPv4Address(last_text) if hyphen else first
        except ValueError:
            raise Wrong(f"{shown(text)} is no range", "for example 10.5.1.100-10.5.1.199") from None
        if last < first:
            raise Wrong(f"{shown(text)} ends before it begins", f"did you mean {last}-{first}?")
        return Range(first, last)


class SpeedOf(Type):
    """Bits per second as `tx` or `tx:rx`; the suffixes k, M and G are understood."""

    metavar = "tx[:rx]"

    def read(self, text: str, is_string: bool) -> Speed:
        tx, colon, rx = text.partition(":")
        return Speed(self._rate(tx, text), self._rate(rx, text) if colon else 0)

    @staticmethod
    def _rate(text: str, whole: str) -> int:
        match = _SPEED.fullmatch(text)
        if match is None:
            raise Wrong(f"{shown(whole)} is no speed", "bits per second as tx or tx:rx, for example 100M:10M")
        value = int(match[1]) * _UNITS[match[2]]
        if not 0 < value < 1 << 32:
            raise Wrong(f"{shown(text)} is out of range", f"from 1 to {(1 << 32) - 1} bits per second")
        return value

    def write(self, value: Speed) -> str:
        return f"{value.tx}:{value.rx}" if value.rx else str(value.tx)


class Rate(SpeedOf):
    """Bits per second, or 0."""

    metavar = "bps"

    def read(self, text: str, is_string: bool) -> Any:
        return 0 if text == "0" else self._rate(text, text)

    def write(self, value: Any) -> str:
        return str(value)
