"""Who listens to what happens: server-sent events (WHATWG HTML section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.web.http import Request
from zope.interface import implementer

MOST_STREAMS = 100


@implementer(IPushProducer)
class _Stream:
    """One who listens. Nothing is written while he does not read, and all that there is as soon as he does again."""

    def __init__(self, request: Request, everything: Callable[[], Any]) -> None:
        self.request = request
        self._everything = everything
        self._full = False
        self._behind = True
        request.registerProducer(self, True)
        self.resumeProducing()

    def tell(self, data: bytes) -> None:
        if self._full:
            self._behind = True
        else:
            self.request.write(data)

    def end(self) -> None:
        self.request.unregisterProducer()
        self.request.finish()

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        if self._behind:
            self._behind = False
            self.request.write(_event("hello", self._everything()))

    def stopProducing(self) -> None:
        """The connection is ending."""


class Streams:
    """All of them."""

    def __init__(self) -> None:
        self._open: list[_Stream] = []

    def tell(self, kind: str, value: Any) -> None:
        """To all of them."""
        if self._open:
            data = _event(kind, value)
            for stream in self._open:
                stream.tell(data)

    def add(self, request: Request, everything: Callable[[], Any]) -> None:
        """From now on; `everything()` is sent at once. The oldest gives way when there are too many."""
        if len(self._open) >= MOST_STREAMS:
            self._open.pop(0).end()
        request.setHeader(b"content-type", b"text/event-stream")
        stream = _Stream(request, everything)
        self._open.append(stream)
        request.notifyFinish().addBoth(lambda _: self._open.remove(stream) if stream in self._open else None)


def _event(kind: str, value: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()
