"""What a peer puts into a log line: nothing that breaks the line, hides it or speaks to the terminal."""

import io

import pytest

from prol2tp.daemons.logs import FileObserver, text_of


def line(value: str) -> str:
    return text_of({"log_format": "host {host}", "host": value})


@pytest.mark.parametrize(("value", "shown"), [
    ("a\nb\r\x1b[2J", "a\\x0ab\\x0d\\x1b[2J"),
    ("a\x7f\x85\x9b31m", "a\\x7f\\x85\\x9b31m"),
    ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
    ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
    (b"a\xff\x80".decode("utf-8", "surrogateescape"), "a\\xff\\x80"),
    ("M\u00fcnchen \u6771\u4eac", "M\u00fcnchen \u6771\u4eac"),
])
def test_a_name_chosen_by_a_peer_stays_one_harmless_line(value: str, shown: str) -> None:
    assert line(value) == f"host {shown}"


def test_a_name_that_is_no_text_does_not_hide_its_line() -> None:
    octets = io.BytesIO()
    stream = io.TextIOWrapper(octets, encoding="utf-8")
    FileObserver(stream=stream)({"log_format": "host {host}", "host": b"\xff".decode("utf-8", "surrogateescape")})
    assert octets.getvalue().endswith(b"host \\xff\n")


def test_what_no_encoding_has_does_not_hide_its_line_either(tmp_path) -> None:
    path = tmp_path / "log"
    FileObserver(str(path))({"log_format": "host {host}", "host": "\ud800"})
    assert path.read_text().endswith("host \\ud800\n")
