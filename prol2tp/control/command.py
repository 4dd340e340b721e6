"""How commands of the control channel are declared, and how their values look on the wire (AMP boxes).

Plain data, no Twisted: `control/amp.py` and `control/blocking.py` are both made from these declarations. A value on the
wire is at most 65,535 bytes: `text` is UTF-8, `integer` decimal digits, `boolean` `True` or `False`, `json` one JSON
value in UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

MAX_VALUE = 65535
"""Most bytes of one value in an AMP box."""
MAX_KEYS = 64
"""Most keys in one box that we read; no command comes near."""
MAX_BOX = 1 << 20
"""Most bytes in one box that we read."""
COMMAND, ASK, ANSWER, ERROR = b"_command", b"_ask", b"_answer", b"_error"
ERROR_CODE, ERROR_DESCRIPTION = b"_error_code", b"_error_description"
MAX_TEXT = 1000
"""Most characters of an error text."""


class ControlError(Exception):
    """A command failed. `text` is one line for people; `code` is the AMP error code."""

    code = "INTERNAL"

    def __init__(self, text: str) -> None:
        text = " ".join(text.split())[:MAX_TEXT]
        super().__init__(text)
        self.text = text


class Refused(ControlError):
    """The daemon understood and will not or cannot do it."""

    code = "REFUSED"


class NotFound(ControlError):
    """There is no such tunnel, session or link."""

    code = "NOT_FOUND"


class Invalid(ControlError):
    """The arguments are wrong, whatever the state of the daemon."""

    code = "INVALID"


class Internal(ControlError):
    """A fault of the daemon; its log has the reason."""

    code = "INTERNAL"


class Gone(ControlError):
    """The connection was lost, or there is none. Never on the wire."""

    code = "GONE"


class Unknown(ControlError):
    """The other side has no such command (AMP's own code)."""

    code = "UNHANDLED"


ERRORS: dict[str, type[ControlError]] = {error.code: error for error in (Refused, NotFound, Invalid, Internal, Unknown)}


def error_from_wire(code: str, text: str) -> ControlError:
    """The exception for an error box; codes that we do not know become `Internal`."""
    return ERRORS.get(code, Internal)(text)


class Argument(NamedTuple):
    """A value that a command takes or gives back. An optional one that is left out arrives as None."""

    name: str
    type: str
    """'text', 'integer', 'boolean' or 'json'."""
    optional: bool = False
    help: str = ""


class Command(NamedTuple):
    """One command. `arguments` and `response` in the order of the documentation. A command with `answer` False gets
    no answer, not even an error."""

    name: str
    arguments: tuple[Argument, ...]
    response: tuple[Argument, ...]
    help: str
    answer: bool = True
    rows: str = ""
    """For a list command: the name of the record in `rows`."""


class Field(NamedTuple):
    """One field of a record. `type`: text, integer, number, boolean, address (`192.0.2.1:1701` or `[2001:db8::1]:1701`
    as text), words (list of text), json, or the name of another record; with '?' it may be null."""

    name: str
    type: str
    help: str = ""


class Record(NamedTuple):
    """The shape of a JSON object on the channel: all fields are always there, and no others."""

    name: str
    fields: tuple[Field, ...]
    help: str


CURSOR = Argument("cursor", "text", True, "where to go on: the `cursor` of the page before; empty for the first page")
LIMIT = Argument("limit", "integer", True, "most rows of this page (default 500, at most 5000)")
PAGE = (
    Argument("rows", "json", False, "list of records"),
    Argument("cursor", "text", False, "for the next page; empty: this was the last"),
)


def listing(name: str, rows: str, help: str, *arguments: Argument) -> Command:
    """A list command: it takes `cursor` and `limit` beside its own arguments, and answers one page."""
    return Command(name, (*arguments, CURSOR, LIMIT), PAGE, help, rows=rows)


def table(commands: Iterable[Command]) -> dict[str, Command]:
    """Commands by name."""
    return {command.name: command for command in commands}


def _write_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value.encode("utf-8")


def _write_integer(value: Any) -> bytes:
    if not isinstance(value, int):
        raise ValueError("must be an integer")
    return b"%d" % value


def _read_integer(data: bytes) -> int:
    # int() alone would also take blanks, underscores and other scripts' digits
    digits = data[1:] if data[:1] == b"-" else data
    if not digits.isdigit() or len(digits) > 20:
        raise ValueError("must be an integer")
    return int(data)


def _write_boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return b"True" if value else b"False"


def _read_boolean(data: bytes) -> bool:
    if data == b"True":
        return True
    if data == b"False":
        return False
    raise ValueError("must be True or False")


_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Rows(list[Any]):
    """Rows that were written as JSON while they were measured (`control/paging.py`)."""

    __slots__ = ("encoded",)
    encoded: bytes


def write_row(value: Any) -> bytes:
    """One JSON value, compact."""
    return _dump(value).encode("utf-8", "replace")


def _write_json(value: Any) -> bytes:
    if type(value) is Rows:
        return value.encoded
    return _dump(value).encode("utf-8", "replace")


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


_load = json.JSONDecoder(parse_constant=_no_constant).decode


def _read_json(data: bytes) -> Any:
    try:
        return _load(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("must be JSON that is not nested so deep") from None
    except ValueError:
        raise ValueError("must be JSON") from None


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "text": _write_text,
    "integer": _write_integer,
    "boolean": _write_boolean,
    "json": _write_json,
}
_READERS: dict[str, Callable[[bytes], Any]] = {
    "text": lambda data: data.decode("utf-8"),
    "integer": _read_integer,
    "boolean": _read_boolean,
    "json": _read_json,
}


def write_value(type: str, value: Any) -> bytes:
    """A value of an argument as bytes. ValueError when it is of another type, TypeError for what JSON has not."""
    return _WRITERS[type](value)


def read_value(type: str, data: bytes) -> Any:
    """The value of an argument from its bytes. ValueError when they are none of that type."""
    return _READERS[type](data)


def write_values(arguments: Iterable[Argument], values: Mapping[str, Any]) -> dict[bytes, bytes]:
    """The keys of a box. Raises `Invalid` for a value that is missing, unknown, of the wrong type or too long."""
    box: dict[bytes, bytes] = {}
    unknown = set(values)
    for argument in arguments:
        unknown.discard(argument.name)
        value = values.get(argument.name)
        if value is None:
            if argument.optional:
                continue
            # null is a value of its own in JSON
            if argument.type != "json" or argument.name not in values:
                raise Invalid(f"{argument.name} is missing")
        try:
            data = _WRITERS[argument.type](value)
        except UnicodeEncodeError:
            raise Invalid(f"{argument.name}: must be UTF-8") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise Invalid(f"{argument.name}: {error}") from None
        if len(data) > MAX_VALUE:
            raise Invalid(f"{argument.name} has {len(data)} bytes, more than {MAX_VALUE}")
        box[argument.name.encode("ascii")] = data
    if unknown:
        raise Invalid(f"no such argument: {', '.join(sorted(unknown))}")
    return box


def read_values(arguments: Iterable[Argument], box: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The values of a box: every declared argument is in the result, None for an optional one that was left out.

    Keys that are not declared are ignored, so that a newer side can talk to an older one. Raises `Invalid`.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        data = box.get(argument.name.encode("ascii"))
        if data is None:
            if not argument.optional:
                raise Invalid(f"{argument.name} is missing")
            values[argument.name] = None
            continue
        try:
            values[argument.name] = _READERS[argument.type](data)
        except ValueError as error:
            text = "must be UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise Invalid(f"{argument.name}: {text}") from None
    return values
