"""Records of control messages as octets and back: what versions 2 and 3 share. `messages` and `messages3` hold the
records, each its `Codec` of them.

The fields of a record are AVPs by their names in the table: those without a default MUST be present, those with a
default MAY be, None (or False) for absent. Text is `str`, what may be binary is `bytes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from operator import attrgetter
from struct import error as struct_error
from typing import Any, ClassVar

from prol2tp.l2tp.avp import (
    HEADER,
    HEADER_LENGTH,
    LENGTH,
    MANDATORY,
    RESERVED,
    BadAVP,
    MessageError,
    RandomBytes,
    read_avps,
    recognized,
    write_avp,
    write_hidden_avp,
    writer,
)
from prol2tp.l2tp.avptable import AVP, BY_FIELD
from prol2tp.l2tp.shapes import Shapes

MESSAGE_TYPE_LENGTH = HEADER_LENGTH + 2
"""Octets of the Message Type AVP, the first in every body."""


class Message:
    """Base of the records. `number` is the Message Type; `for_call`: the message is about one call; `nonzero`: the ids
    that may not be 0; `order`: the fields as they are sent, where that is not how the RFC lists them; `mandatory`: the
    M bit of its Message Type, without which a receiver passes over a message that it does not know."""

    __slots__ = ()

    number: ClassVar[int]
    for_call: ClassVar[bool] = False
    nonzero: ClassVar[tuple[str, ...]] = ()
    order: ClassVar[tuple[str, ...]] = ()
    mandatory: ClassVar[bool] = True


class MissingAVP(MessageError):
    """An AVP that the message must have is not in it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is missing")
        self.name = name


class UnknownMessageType(MessageError):
    """A message type that we do not know. `mandatory` False: ignore the message (acknowledge it);
    True: the tunnel must end (section 4.4.1)."""

    error = 8

    def __init__(self, number: int, mandatory: bool) -> None:
        super().__init__(f"unknown message type {number}")
        self.number = number
        self.mandatory = mandatory


class _Layout:
    """What decoding and encoding need to know of one message, made once from its record."""

    __slots__ = (
        "message", "names", "required", "flags", "nonzero", "get", "get_is_plural", "writers", "avps", "message_type",
    )

    def __init__(self, message: type[Message], by_field: dict[str, AVP]) -> None:
        members = fields(message)  # type: ignore[arg-type]
        self.message = message
        self.names = tuple(member.name for member in members)
        self.required = sum(member.default is MISSING for member in members)
        self.flags = tuple(member.name for member in members if member.default is False)
        self.nonzero = tuple(map(self.names.index, message.nonzero))
        order = message.order or self.names
        assert sorted(order) == sorted(self.names), message
        self.get = attrgetter(*order) if members else None
        self.get_is_plural = len(members) > 1
        self.avps = tuple(by_field[name] for name in order)
        self.writers = tuple(writer(avp) for avp in self.avps)
        message_type = BY_FIELD["message_type"]._replace(mandatory=message.mandatory)
        self.message_type = write_avp(message_type, message.number.to_bytes(2, "big"))

    def values(self, message: Message) -> tuple[Any, ...]:
        """Those of the message in the order of `avps` and `writers`, which is that of the wire."""
        if self.get is None:
            return ()
        values = self.get(message)
        return values if self.get_is_plural else (values,)


class Codec:
    """The control messages of one protocol version.

    :param table: the AVPs that the version recognizes, with the M bits it sends.
    :param connection_id: the field in which a message assigns the id of the tunnel, `session_id` that of the session.
    :param reserved: the bits of an AVP's header that make it unrecognized.
    """

    __slots__ = ("messages", "connection_id", "session_id", "_by_field", "_layouts", "_known", "_shapes")

    def __init__(
        self,
        messages: tuple[type[Message], ...],
        table: Iterable[AVP],
        connection_id: str,
        session_id: str,
        reserved: int = RESERVED,
    ) -> None:
        table = tuple(table)
        self._by_field = {avp.field: avp for avp in table}
        self.messages = messages
        self.connection_id = connection_id
        self.session_id = session_id
        self._layouts = {message.number: _Layout(message, self._by_field) for message in messages}
        self._known = recognized(table, reserved)
        self._shapes = Shapes()

    def decode(self, body: bytes, secret: bytes = b"", ignored: list[str] | None = None) -> Any:
        """The message in the body (the octets between the header and the header's Length, not empty).

        :param secret: for hidden AVPs: the tunnel's shared secret, in version 3 the key that `digest` derives from it.
        :param ignored: gets a line of text for every AVP that was left out (no M bit, unrecognized or malformed).
        :raises MessageError: `UnknownMessageType`, `UnknownMandatoryAVP`, `BadAVP`, `MissingAVP`.
        """
        if ignored is None and (message := self._shapes.read(body)) is not None:
            return message
        layout = self._layouts.get(int.from_bytes(body[6:8], "big"))
        if layout is None or not body.startswith(layout.message_type):
            layout = self._unusual_message_type(body)
        values: dict[str, Any] = {}
        try:
            read_avps(body, MESSAGE_TYPE_LENGTH, secret, values, ignored, self._known)
            for name in layout.flags:
                values.setdefault(name, False)
            arguments = tuple(map(values.get, layout.names))
            if None in arguments[:layout.required]:
                raise MissingAVP(self._by_field[layout.names[arguments.index(None)]].name)
            for position in layout.nonzero:
                if not arguments[position]:
                    raise BadAVP(f"{self._by_field[layout.names[position]].name} is 0", 3)
        except MessageError as error:
            error.message_type = layout.message.number
            error.for_call = layout.message.for_call
            error.assigned_tunnel_id = values.get(self.connection_id)
            error.assigned_session_id = values.get(self.session_id)
            error.remote_session_id = values.get("remote_session_id")
            raise
        self._shapes.learn(body, layout, self._by_field, self._known)
        return layout.message(*arguments)

    def _unusual_message_type(self, body: bytes) -> _Layout:
        """The layout of a message we know whose Message Type lacks the M bit."""
        if len(body) < MESSAGE_TYPE_LENGTH:
            raise BadAVP(f"{len(body)} octets, no Message Type")
        bits, vendor, attribute = HEADER.unpack_from(body)
        if vendor or attribute or bits & ~MANDATORY != MESSAGE_TYPE_LENGTH:
            raise BadAVP("the first AVP is no Message Type", 2 if bits & LENGTH != MESSAGE_TYPE_LENGTH else 3)
        number = int.from_bytes(body[6:8], "big")
        if number not in self._layouts:
            error = UnknownMessageType(number, bool(bits & MANDATORY))
            error.message_type = number
            raise error
        return self._layouts[number]

    def encode(
        self,
        message: Message,
        secret: bytes = b"",
        random_bytes: RandomBytes | None = None,
        hide: bool = False,
        digests: bytes = b"",
    ) -> bytes:
        """The body of the message.

        :param secret: as for `decode`.
        :param hide: hide the AVPs that may be hidden (section 4.3); needs `secret` and `random_bytes`.
        :param digests: Message Digest AVPs still to be filled in, to stand right after the Message Type.
        :raises ValueError: for a value that does not fit its AVP.
        """
        layout = self._layouts[message.number]
        values = layout.values(message)
        parts = [layout.message_type, digests] if digests else [layout.message_type]
        if hide:
            if not secret or random_bytes is None:
                raise ValueError("hiding needs a secret and a random source")
            return b"".join(parts + _hidden(layout, values, secret, random_bytes))
        try:
            for value, write in zip(values, layout.writers):  # noqa: B905 (of one length by construction)
                if value is not None and value is not False:
                    parts.append(write(value))
        except struct_error as error:
            raise ValueError(f"{type(message).__name__}: {error}") from error
        return b"".join(parts)


def _hidden(layout: _Layout, values: tuple[Any, ...], secret: bytes, random_bytes: RandomBytes) -> list[bytes]:
    random_vector = random_bytes(16)
    parts = [write_avp(BY_FIELD["random_vector"], random_vector)]
    for value, avp, write in zip(values, layout.avps, layout.writers, strict=True):
        if value is None or value is False:
            continue
        if avp.hidable and avp.format is not None:
            for one in value if avp.format.each else (value,):
                parts.append(write_hidden_avp(avp, avp.format.write(one), secret, random_vector, random_bytes))
        else:
            parts.append(write(value))
    return parts
