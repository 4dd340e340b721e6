"""Declarations and values of the control channel."""

import json

import pytest

from prol2tp.control.command import (
    MAX_VALUE,
    Argument,
    Command,
    Gone,
    Internal,
    Invalid,
    NotFound,
    Refused,
    Rows,
    error_from_wire,
    read_value,
    read_values,
    write_value,
    write_values,
)
from prol2tp.control.commands import prol2tpd, propppd
from prol2tp.control.shapes import problems

ALL = (
    Argument("word", "text"),
    Argument("count", "integer"),
    Argument("flag", "boolean"),
    Argument("data", "json"),
    Argument("extra", "text", True),
)
VALUES = {"word": "Grüße", "count": -7, "flag": True, "data": {"a": [1, 2.5, None, "x"]}}


def test_values_come_back_as_they_were():
    box = write_values(ALL, VALUES)
    assert box[b"word"] == "Grüße".encode() and box[b"flag"] == b"True" and box[b"count"] == b"-7"
    assert read_values(ALL, box) == {**VALUES, "extra": None}


def test_null_is_a_json_value_but_no_other_one():
    data = (Argument("data", "json"),)
    assert read_values(data, write_values(data, {"data": None})) == {"data": None}
    with pytest.raises(Invalid):
        write_values((Argument("word", "text"),), {"word": None})


@pytest.mark.parametrize("missing", ["word", "count", "flag", "data"])
def test_a_missing_argument_is_named(missing):
    values = {name: value for name, value in VALUES.items() if name != missing}
    with pytest.raises(Invalid, match=missing):
        write_values(ALL, values)
    box = write_values(ALL, VALUES)
    del box[missing.encode()]
    with pytest.raises(Invalid, match=missing):
        read_values(ALL, box)


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("integer", b""),
        ("integer", b"-"),
        ("integer", b" 1"),
        ("integer", b"1_0"),
        ("integer", "١".encode()),
        ("integer", b"1" * 5000),
        ("integer", b"1.0"),
        ("boolean", b"true"),
        ("boolean", b""),
        ("text", b"\xff"),
        ("json", b""),
        ("json", b"[" * 60000),
        ("json", b"NaN"),
        ("json", b"{} {}"),
        ("json", b"\xff"),
        ("json", b"9" * 60000),
    ],
)
def test_bytes_of_another_type_are_a_value_error(type, data):
    with pytest.raises(ValueError):
        read_value(type, data)
    with pytest.raises(Invalid):
        read_values((Argument("a", type),), {b"a": data})


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("text", b"x"),
        ("integer", "1"),
        ("boolean", 1),
        ("json", float("nan")),
        ("json", object()),
        ("json", {1: object()}),
    ],
)
def test_a_value_of_another_type_cannot_be_sent(type, value):
    with pytest.raises(Invalid):
        write_values((Argument("a", type),), {"a": value})


def test_a_value_of_65535_bytes_can_be_sent_and_one_more_cannot():
    assert len(write_values((Argument("a", "text"),), {"a": "x" * MAX_VALUE})[b"a"]) == MAX_VALUE
    with pytest.raises(Invalid):
        write_values((Argument("a", "text"),), {"a": "x" * (MAX_VALUE + 1)})


def test_unknown_arguments_are_refused_when_sent_and_ignored_when_received():
    with pytest.raises(Invalid, match="other"):
        write_values((), {"other": 1})
    assert read_values((), {b"other": b"\xff"}) == {}


def test_rows_that_were_measured_are_not_written_again():
    rows = Rows([1])
    rows.encoded = b"[2]"
    assert write_value("json", rows) == b"[2]"


def test_an_error_text_is_one_short_line():
    error = Refused("a\r\n  b\tc" + "x" * 5000)
    assert error.text.startswith("a b cx") and len(error.text) == 1000


@pytest.mark.parametrize("error", [Refused, NotFound, Invalid, Internal])
def test_errors_keep_their_class_over_the_wire(error):
    assert type(error_from_wire(error.code, "x")) is error


def test_unknown_error_codes_are_internal_errors():
    assert type(error_from_wire("WHAT", "x")) is Internal
    assert type(error_from_wire(Gone.code, "x")) is Internal


@pytest.mark.parametrize("module", [prol2tpd, propppd])
def test_declarations_are_consistent(module):
    for command in [*module.COMMANDS.values(), *module.CALLBACKS.values()]:
        assert isinstance(command, Command) and command.name[0].isupper() and command.help.endswith(".")
        for argument in (*command.arguments, *command.response):
            assert argument.type in ("text", "integer", "boolean", "json")
            assert len(argument.name) <= 255 and argument.name.isidentifier()
        if command.rows:
            assert command.rows in module.RECORDS
    plain = {"text", "integer", "number", "boolean", "address", "words", "json"}
    for record in module.RECORDS.values():
        assert len({field.name for field in record.fields}) == len(record.fields)
        for field in record.fields:
            assert field.type.removesuffix("?") in plain | set(module.RECORDS), (record.name, field)
    assert len(module.EVENTS) == len(set(module.EVENTS))


def test_counters_are_those_of_the_data_path():
    from prol2tp.dataplane.interface import COUNTERS

    assert tuple(field.name for field in prol2tpd.COUNTERS_RECORD.fields) == COUNTERS


def test_shapes_tell_what_is_wrong_with_a_record():
    row = {
        "name": "session-1",
        "interface": "",
        "duration": 1.5,
        "up": True,
        "state": "RUNNING",
        "user": "u",
        "id": "1/2",
    }
    record = propppd.LINK_ROW
    assert problems(row, record, propppd.RECORDS) == []
    assert problems({**row, "up": 1}, record, propppd.RECORDS) == ["link-row: up is no boolean: 1"]
    assert problems({**row, "user": None}, record, propppd.RECORDS) == ["link-row: user is null"]
    assert problems({**row, "other": 1}, record, propppd.RECORDS) == ["link-row: other is not part of it"]
    del row["id"]
    assert problems(row, record, propppd.RECORDS) == ["link-row: id is missing"]
    assert problems(json.loads("[]"), record, propppd.RECORDS) == ["link-row: is no object"]


def test_text_that_is_no_utf_8_is_refused_in_plain_words():
    with pytest.raises(Invalid) as refused:
        write_values((Argument("user", "text"),), {"user": "caf\udce9"})
    assert refused.value.text == "user: must be UTF-8"
