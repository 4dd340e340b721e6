"""The quick way to read control messages gives what the long way gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from prol2tp.l2tp import messages, messages3, shapes
from prol2tp.l2tp.avp import MessageError
from prol2tp.l2tp.layout import Codec
from prol2tp.l2tp.shapes import ALIKE, LEARN_EVERY, MOST
from tests.pair.test_hostile import mutated
from tests.pair.test_hostile import valid as valid2
from tests.pair.test_hostile3 import valid as valid3
from tests.steps import steps

CODECS = {2: (messages.CODEC, valid2(5)), 3: (messages3.CODEC, valid3(5, 6))}


def fresh(codec: Codec) -> Codec:
    """The same without what it has learned."""
    copy: Any = object.__new__(Codec)
    for name in Codec.__slots__:
        setattr(copy, name, getattr(codec, name))
    copy._shapes = shapes.Shapes()
    return copy  # type: ignore[no-any-return]


def outcome(decode: Callable[[], Any]) -> Any:
    try:
        return decode()
    except MessageError as error:
        return type(error), str(error), error.message_type, error.assigned_session_id, error.remote_session_id


def bodies(version: int) -> list[bytes]:
    codec, valid = CODECS[version]
    found = [codec.encode(message) for message in valid]
    unknown = b"\0\x0a\0\0\x03\xe7more"
    vendor = b"\0\x08\x01\x23\0\x01xx"
    return found + [body + more for body in found for more in (unknown, vendor, body[8:20])]


@pytest.mark.parametrize("version", CODECS)
def test_what_was_learned_is_read_the_same_way_whatever_is_changed_in_it(version: int) -> None:
    codec = fresh(CODECS[version][0])
    known = bodies(version)
    for body in known:
        for _ in range(LEARN_EVERY * 2):
            outcome(lambda body=body: codec.decode(body))  # type: ignore[misc]
    assert len(codec._shapes._known) > 10
    choice = random.Random(version)
    for count in range(20_000):
        body = choice.choice(known)
        if count % 4:
            body = mutated(body, choice)
        if len(body) < 8:
            continue
        quick = outcome(lambda body=body: codec.decode(body))  # type: ignore[misc]
        assert quick == outcome(lambda body=body: codec.decode(body, ignored=[])), body.hex()  # type: ignore[misc]


@pytest.mark.parametrize("version", CODECS)
def test_a_message_that_comes_again_costs_less(version: int) -> None:
    codec = fresh(CODECS[version][0])
    request = next(body for body in bodies(version) if body[6:8] == b"\0\x0a")
    first = steps(codec.decode, request)
    for _ in range(LEARN_EVERY):
        codec.decode(request)
    assert steps(codec.decode, request) * 2 < first


def test_a_peer_that_never_repeats_itself_costs_bounded_memory() -> None:
    codec = fresh(messages3.CODEC)
    choice = random.Random(1)
    request = next(message for message in valid3(5, 6) if message.number == messages3.ICRQ.number)
    for _ in range(30_000):
        body = codec.encode(replace(request, remote_end_id="x" * choice.randrange(900)))  # type: ignore[type-var]
        codec.decode(body + b"\0\x06" + choice.randbytes(2) + b"\x04\0")
        assert len(codec._shapes._known) <= MOST
    assert max(map(len, codec._shapes._known.values())) <= ALIKE
