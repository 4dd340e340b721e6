"""The commands as `amp.Command` classes, for programs that use Twisted's own AMP.

protocol.callRemote(amp_commands(prol2tpd.COMMANDS)["ListTunnels"], limit=10)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.protocols import amp

from prol2tp.control.command import ERRORS, Argument, Command, ControlError, Unknown, read_value, write_value


class Value(amp.Argument):
    """An argument of one of our types, written and read as `control/command.py` says."""

    def __init__(self, type: str, optional: bool = False) -> None:
        super().__init__(optional)
        self.type = type

    def fromString(self, inString: bytes) -> Any:
        return read_value(self.type, inString)

    def toString(self, inObject: Any) -> bytes:
        return write_value(self.type, inObject)


def _arguments(arguments: Iterable[Argument]) -> list[tuple[bytes, Value]]:
    return [(a.name.encode("ascii"), Value(a.type, a.optional)) for a in arguments]


_ERRORS: dict[type[ControlError], bytes] = {
    error: code.encode("ascii") for code, error in ERRORS.items() if error is not Unknown
}


def amp_command(command: Command) -> type[amp.Command]:
    """The class of one command; its errors are the classes of `control/command.py`."""
    return type(
        command.name,
        (amp.Command,),
        {
            "__doc__": command.help,
            "commandName": command.name.encode("ascii"),
            "arguments": _arguments(command.arguments),
            "response": _arguments(command.response),
            "errors": _ERRORS,
            "requiresAnswer": command.answer,
        },
    )


def amp_commands(commands: Mapping[str, Command]) -> dict[str, type[amp.Command]]:
    """The classes of a daemon's commands by name."""
    return {name: amp_command(command) for name, command in commands.items()}
