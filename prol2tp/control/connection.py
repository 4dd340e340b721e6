"""One connection of the control channel, the same on both sides: questions, answers, and what they may cost.

A box that is no box ends its own connection. A responder that fails costs its question an error. The other side's bytes
never raise into the reactor, and what they can make us hold is bounded: one box, `MAX_OPEN` questions, and the
transport's buffer, since nothing more is read while the other side does not read (but see `MAX_UNSENT`).
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.protocols.amp import AmpBox, BinaryBoxProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from prol2tp.control.command import (
    ANSWER,
    ASK,
    COMMAND,
    ERROR,
    ERROR_CODE,
    ERROR_DESCRIPTION,
    MAX_BOX,
    MAX_KEYS,
    Command,
    ControlError,
    Gone,
    Internal,
    Unknown,
    error_from_wire,
    read_values,
    write_values,
)

MAX_OPEN = 64
"""Questions of one connection that may be open before we stop reading."""
MAX_OPEN_ASKING = 1024
"""The same while we have a question open ourselves: its answer comes the same way, and an open one may wait for it."""

MAX_UNSENT = 4 << 20
"""Octets of answers that may wait for the other side while we have a question open ourselves. Were nothing read as soon
as something waits, two sides that ask much of each other at once would both wait for the other to read, for ever."""
READ_SIZE = 16384
"""Octets read in one turn of the reactor: some hundreds of small questions."""

Responder = Callable[..., Any]
"""`responder(connection, **arguments)` -> the response as a dict, None for an empty one, or a Deferred of it."""


class Responders:
    """What a side answers: its commands, each with its responder. Shared by all its connections."""

    __slots__ = ("table",)

    def __init__(self, commands: Mapping[str, Command], responders: Mapping[str, Responder]) -> None:
        unknown = set(responders) - set(commands)
        if unknown:
            raise ValueError(f"no such command: {', '.join(sorted(unknown))}")
        self.table = {name.encode("ascii"): (commands[name], responder) for name, responder in responders.items()}


def printable(data: bytes) -> str:
    """A name from the wire for a log line or an error text."""
    return ascii(data[:64].decode("latin-1"))


@implementer(IPushProducer)
class Connection(BinaryBoxProtocol):
    """See the module. `responders`: what we answer. `callable`: the commands that we may call, by name.

    `on_lost` is a list of functions of one argument, the connection, called once when it is gone. `peer` is
    (pid, uid, gid) of the other side, set by the server.
    """

    log = Logger("prol2tp.control")
    noisy = False
    transport: Any
    _currentBox: Any

    def __init__(self, responders: Responders, callable: Mapping[str, Command]) -> None:
        super().__init__(self)
        self.connected = 0
        self.peer: tuple[int, int, int] = (0, 0, 0)
        self.on_lost: list[Callable[[Connection], None]] = []
        self._responders = responders.table
        self._callable = callable
        self._asked: dict[bytes, tuple[Command, Deferred[dict[str, Any]]]] = {}
        self._tag = 0
        self._open = 0
        self._output_full = False
        self._unsent = 0
        self._parsing = False
        self._dropped = False
        self._keys = 0
        self._octets = 0

    # what we ask

    def call(self, name: str, /, **arguments: Any) -> Deferred[dict[str, Any]]:
        """Ask the other side. Fails with a `ControlError`: the other side's, `Invalid` for arguments that cannot be
        sent, `Gone` when the connection is lost first."""
        command = self._callable.get(name)
        if command is None:
            return fail(Unknown(f"no such command: {name}"))
        if not self.connected:
            return fail(Gone("not connected"))
        try:
            box = AmpBox(write_values(command.arguments, arguments))
        except ControlError as error:
            return fail(error)
        self._tag += 1
        tag = b"%x" % self._tag
        box[COMMAND] = command.name.encode("ascii")
        box[ASK] = tag
        answer: Deferred[dict[str, Any]] = Deferred()
        self._asked[tag] = (command, answer)
        self._write(box)
        self._flow()
        return answer

    def _write(self, box: AmpBox) -> None:
        if self.connected and not self._dropped:
            data = box.serialize()
            if self._output_full and COMMAND not in box:
                self._unsent += len(data)
                if self._unsent >= MAX_UNSENT:
                    self._flow()
            self.transport.write(data)

    def _answered(self, box: AmpBox) -> None:
        asked = self._asked.pop(box[ANSWER], None)
        if asked is None:
            self.drop("an answer to nothing")
            return
        command, answer = asked
        try:
            values = read_values(command.response, box)
        except ControlError as error:
            answer.errback(Internal(f"{command.name}: bad answer: {error.text}"))
            return
        answer.callback(values)

    def _refused(self, box: AmpBox) -> None:
        asked = self._asked.pop(box[ERROR], None)
        if asked is None:
            self.drop("an error for nothing")
            return
        code = box.get(ERROR_CODE, b"").decode("latin-1")
        asked[1].errback(error_from_wire(code, box.get(ERROR_DESCRIPTION, b"").decode("utf-8", "replace")))

    # what we are asked

    def _question(self, box: AmpBox) -> None:
        name, tag = box[COMMAND], box.get(ASK)
        found = self._responders.get(name)
        if found is None:
            self._fail(tag, Unknown(f"no such command: {printable(name)}"))
            return
        command, responder = found
        try:
            values = read_values(command.arguments, box)
        except ControlError as error:
            self._fail(tag, error)
            return
        try:
            result = responder(self, **values)
        except Exception:
            self._responder_failed(Failure(), command, tag)
            return
        if isinstance(result, Deferred):
            self._open += 1
            self._flow()
            result.addCallback(self._respond, command, tag)
            result.addErrback(self._responder_failed, command, tag)
            result.addBoth(self._closed)
        else:
            self._respond_safely(result, command, tag)

    def _closed(self, _: Any) -> None:
        self._open -= 1
        self._flow()

    def _respond_safely(self, result: Any, command: Command, tag: bytes | None) -> None:
        try:
            self._respond(result, command, tag)
        except Exception:
            self._responder_failed(Failure(), command, tag)

    def _respond(self, result: Any, command: Command, tag: bytes | None) -> None:
        if tag is None:
            return
        try:
            box = AmpBox(write_values(command.response, result or {}))
        except ControlError as error:
            # a response that cannot be sent is the responder's fault, not the caller's
            raise ValueError(f"response: {error.text}") from None
        box[ANSWER] = tag
        self._write(box)

    def _responder_failed(self, failure: Failure, command: Command, tag: bytes | None) -> None:
        if isinstance(failure.value, ControlError):
            self._fail(tag, failure.value)
            return
        frames = traceback.extract_tb(failure.getTracebackObject())
        place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
        # not the value's text alone: it may hold a line break; never the arguments: they may hold secrets
        self.log.error(
            "control command {command} failed: {type}: {text} ({place})",
            command=command.name,
            type=type(failure.value).__name__,
            text=ascii(str(failure.value)[:200]),
            place=place,
        )
        self._fail(tag, Internal("internal error; the log of the daemon has the reason"))

    def _fail(self, tag: bytes | None, error: ControlError) -> None:
        if tag is not None:
            self._write(
                AmpBox(
                    {
                        ERROR: tag,
                        ERROR_CODE: error.code.encode("ascii"),
                        ERROR_DESCRIPTION: error.text.encode("utf-8", "replace"),
                    }
                )
            )

    # boxes

    def startReceivingBoxes(self, boxSender: Any) -> None:
        """Called by Twisted when the connection is made."""

    def ampBoxReceived(self, box: AmpBox) -> None:
        """Called by Twisted for every whole box."""
        if ANSWER in box:
            self._answered(box)
            self._flow()
        elif ERROR in box:
            self._refused(box)
            self._flow()
        elif COMMAND in box:
            self._question(box)
        else:
            self.drop("a box that is neither question nor answer")

    def stopReceivingBoxes(self, reason: Any) -> None:
        """Called by Twisted when the connection is lost."""
        self.connected = 0
        asked, self._asked = self._asked, {}
        for _, answer in asked.values():
            answer.errback(Gone("the connection was lost"))
        functions, self.on_lost = self.on_lost, []
        for function in functions:
            try:
                function(self)
            except Exception:
                self.log.failure("control connection lost, and {function} failed", function=function)

    def connectionMade(self) -> None:
        self.connected = 1
        self.transport.bufferSize = READ_SIZE
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        self._parsing = True
        try:
            super().dataReceived(data)
        except Exception as error:
            self.drop(f"{type(error).__name__} while reading: {error}")
        finally:
            self._parsing = False

    def proto_init(self, string: bytes) -> str | None:
        self._keys = self._octets = 0
        return super().proto_init(string)

    def proto_key(self, string: bytes) -> str | None:
        self._keys += 1
        if self._keys > MAX_KEYS + 1:
            self.drop(f"more than {MAX_KEYS} keys in a box")
            return "key"
        return super().proto_key(string)

    def proto_value(self, string: bytes) -> str:
        self._octets += len(string)
        if self._octets > MAX_BOX:
            self.drop(f"more than {MAX_BOX} bytes in a box")
            self._currentBox = AmpBox()
        return super().proto_value(string)

    def lengthLimitExceeded(self, length: int) -> None:
        self.drop(f"a key of {length} bytes")

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """No command takes a descriptor; one that is not closed would stay open for ever."""
        os.close(descriptor)

    def unhandledError(self, failure: Failure) -> None:
        self.drop(f"{failure.type.__name__}")

    def drop(self, reason: str) -> None:
        """End this connection at once."""
        if self._dropped:
            return
        self._dropped = True
        self.paused = True
        self.recvd = b""
        self.log.warn(
            "control connection dropped: {reason} (pid {pid}, uid {uid})",
            reason=reason,
            pid=self.peer[0],
            uid=self.peer[1],
        )
        self.transport.abortConnection()

    # flow control: the transport tells us when its buffer is full

    def pauseProducing(self) -> None:
        self._output_full = True
        self._flow()

    def resumeProducing(self) -> None:
        self._output_full = False
        self._unsent = 0
        self._flow()

    def stopProducing(self) -> None:
        """The connection is ending; `stopReceivingBoxes` follows."""

    def _flow(self) -> None:
        limit = MAX_OPEN_ASKING if self._asked else MAX_OPEN
        full = self._output_full and (not self._asked or self._unsent >= MAX_UNSENT)
        stop = self._dropped or full or self._open >= limit
        if stop == self.paused or not self.connected:
            return
        self.paused = stop
        if stop:
            self.transport.pauseProducing()
            return
        self.transport.resumeProducing()
        # boxes that were read before the pause; inside of dataReceived its loop goes on by itself
        if not self._parsing:
            self.dataReceived(b"")
