"""A blocking client of the control channel without Twisted: for the command line tools, which must start at once."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from prol2tp.control.command import (
    ANSWER,
    ASK,
    COMMAND,
    ERROR,
    ERROR_CODE,
    ERROR_DESCRIPTION,
    MAX_KEYS,
    Command,
    Internal,
    Invalid,
    error_from_wire,
    read_values,
    write_values,
)
from prol2tp.control.commands.shared import NOTIFY, SUBSCRIBE

TIMEOUT = 30.0
"""Seconds without a byte after which a daemon counts as dead."""
TICK = 0.2
"""Seconds between two calls of `Connection.waiting`."""


class Unreachable(Exception):
    """There is no daemon at the socket, or it does not answer. The text is one line."""


class Connection:
    """A connection to the daemon at `path`. Raises `Unreachable`, here and in all methods."""

    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        self.path = path
        self.waiting: Callable[[], None] | None = None
        """Called again and again while nothing comes."""
        self._tag = 0
        self._buffer = b""
        self._held: list[dict[bytes, bytes]] = []
        """What the daemon has asked while we waited for an answer."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise Unreachable(f"{path}: {_reason(error)}") from None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def call(self, command: Command, **arguments: Any) -> dict[str, Any]:
        """Ask and wait for the answer. Raises the daemon's error as a `ControlError`."""
        self._tag += 1
        tag = b"%x" % self._tag
        box = write_values(command.arguments, arguments)
        box[COMMAND] = command.name.encode("ascii")
        box[ASK] = tag
        try:
            self._socket.sendall(write_box(box), socket.MSG_NOSIGNAL)
            while True:
                answer = self._read_box()
                if COMMAND in answer:
                    self._held.append(answer)
                elif answer.get(ANSWER) == tag:
                    return _response(command, answer)
                elif answer.get(ERROR) == tag:
                    raise error_from_wire(
                        answer.get(ERROR_CODE, b"").decode("latin-1"),
                        answer.get(ERROR_DESCRIPTION, b"").decode("utf-8", "replace"),
                    )
        except OSError as error:
            self.close()
            raise Unreachable(f"{self.path}: {_reason(error)}") from None

    def pages(self, command: Command, **arguments: Any) -> Iterator[list[Any]]:
        """The pages of a list command, one after the other."""
        cursor = ""
        while True:
            answer = self.call(command, cursor=cursor, **arguments)
            rows, following = answer["rows"], answer["cursor"]
            if not isinstance(rows, list):
                raise Internal(f"{command.name}: rows are no list")
            yield rows
            if not following:
                return
            if following == cursor:
                raise Internal(f"{command.name}: a page without end")
            cursor = following

    def rows(self, command: Command, **arguments: Any) -> Iterator[Any]:
        """The rows of a list command."""
        for page in self.pages(command, **arguments):
            yield from page

    def notifications(self, events: list[str] | None = None, instance: str | None = None, after: int | None = None,
                      until: float | None = None) -> Iterator[dict[str, Any]]:
        """Subscribe; then the arguments of each `Notify` as it comes, without end. `events`: names, None for all;
        `instance` and `after`: as in `Subscribe`; `until`: end at this time of the monotonic clock."""
        where = {} if instance is None else {"instance": instance, "after": after}
        self._held = []
        answer = self.call(SUBSCRIBE, events=events, **where)
        if not self._held:
            # nothing has happened that it is to be told: this is what it goes on from
            yield {"events": [], "dropped": 0, **answer}
        self._socket.settimeout(None)
        try:
            while True:
                if self._held:
                    box = self._held.pop(0)
                else:
                    if until is not None:
                        self._socket.settimeout(max(until - time.monotonic(), 0.001))
                    try:
                        box = self._read_box()
                    except TimeoutError:
                        if until is not None and time.monotonic() >= until:
                            return
                        raise
                if box.get(COMMAND) != NOTIFY.name.encode("ascii"):
                    continue
                yield _arguments(NOTIFY, box)
                # only now: what was not taken yet must not be followed by more
                self._socket.sendall(write_box({ANSWER: box.get(ASK, b"")}), socket.MSG_NOSIGNAL)
        except OSError as error:
            self.close()
            raise Unreachable(f"{self.path}: {_reason(error)}") from None

    def called(self, command: Command, callback: Command, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Ask; then the arguments of each call of the other side as it comes, answered when the next one is wanted."""
        self._held = []
        self.call(command, **arguments)
        self._socket.settimeout(None)
        try:
            while True:
                box = self._held.pop(0) if self._held else self._read_box()
                if box.get(COMMAND) != callback.name.encode("ascii"):
                    continue
                yield _arguments(callback, box)
                self._socket.sendall(write_box({ANSWER: box.get(ASK, b"")}), socket.MSG_NOSIGNAL)
        except OSError as error:
            self.close()
            raise Unreachable(f"{self.path}: {_reason(error)}") from None

    def _read_box(self) -> dict[bytes, bytes]:
        box: dict[bytes, bytes] = {}
        for _ in range(MAX_KEYS + 1):
            key = self._read_string()
            if not key:
                return box
            if len(key) > 255:
                break
            box[key] = self._read_string()
        raise ConnectionAbortedError(0, "not the control protocol")

    def _read_string(self) -> bytes:
        return self._read(int.from_bytes(self._read(2), "big"))

    def _read(self, size: int) -> bytes:
        parts = [self._buffer]
        have = len(self._buffer)
        while have < size:
            if self.waiting is not None:
                self._wait(self.waiting)
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionAbortedError(0, "the daemon closed the connection")
            parts.append(data)
            have += len(data)
        data = b"".join(parts)
        self._buffer = data[size:]
        return data[:size]

    def _wait(self, waiting: Callable[[], None]) -> None:
        timeout = self._socket.gettimeout()
        end = None if timeout is None else time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not poll.poll(TICK * 1000):
            if end is not None and time.monotonic() >= end:
                raise TimeoutError
            waiting()


def _response(command: Command, answer: dict[bytes, bytes]) -> dict[str, Any]:
    try:
        return read_values(command.response, answer)
    except Invalid as error:
        raise Internal(f"{command.name}: bad answer: {error.text}") from None


def _arguments(command: Command, box: dict[bytes, bytes]) -> dict[str, Any]:
    try:
        return read_values(command.arguments, box)
    except Invalid as error:
        raise Internal(f"{command.name}: not understood: {error.text}") from None


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, FileNotFoundError):
        return "no such socket; is the daemon running?"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens; is the daemon running?"
    return error.strerror or str(error)


def write_box(box: dict[bytes, bytes]) -> bytes:
    """A box on the wire."""
    parts = []
    for key, value in box.items():
        parts += [len(key).to_bytes(2, "big"), key, len(value).to_bytes(2, "big"), value]
    return b"".join([*parts, b"\0\0"])


def run_directory(option: str | None = None) -> str:
    """The run directory: the option, else PROL2TP_RUN_DIR, else /run/prol2tp."""
    return option or os.environ.get("PROL2TP_RUN_DIR") or "/run/prol2tp"
