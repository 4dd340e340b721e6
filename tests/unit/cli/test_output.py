"""What the tools print is safe on a terminal, whatever names peers and users have chosen."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from prol2tp.cli import format
from prol2tp.cli.program import FAILED, Program
from prol2tp.cli.prol2tp import ACTIONS, GRAMMAR

EVIL = "a\x1b]0;x\x07\x9b31m\u202eb\u2066c\u2028d\x7f"


def is_safe(text: str) -> bool:
    return all(char == "\n" or char.isprintable() for char in text)


def tool(**streams: io.StringIO) -> Program:
    return Program("prol2tp", "prol2tpd.sock", GRAMMAR, ACTIONS, "", **streams)


def test_text_cannot_speak_to_the_terminal_or_turn_its_direction() -> None:
    assert is_safe(format.clean(EVIL)) and format.clean("näh ツ") == "näh ツ"


def test_json_cannot_speak_to_the_terminal_and_is_the_same_json() -> None:
    output = io.StringIO()
    program = tool(output=output)
    program.json = True
    program.record({"peer_host_name": EVIL, "näh": "ツ"}, lambda record: [])
    assert is_safe(output.getvalue()) and "näh" in output.getvalue()
    assert json.loads(output.getvalue()) == {"peer_host_name": EVIL, "näh": "ツ"}


def test_rows_of_json_cannot_either(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pages:
        def __enter__(self) -> Pages:
            return self

        def __exit__(self, *_: object) -> None: ...

        def pages(self, command: object) -> list[list[dict[str, str]]]:
            return [[{"name": EVIL}], [{"name": "b"}]]

    output = io.StringIO()
    program = tool(output=output)
    program.json = True
    monkeypatch.setattr(program, "connect", Pages)
    program.rows(None, lambda pages: iter(()))  # type: ignore[arg-type]
    assert is_safe(output.getvalue()) and json.loads(output.getvalue()) == [{"name": EVIL}, {"name": "b"}]


def test_an_error_is_one_safe_line() -> None:
    errors = io.StringIO()
    assert tool(errors=errors).complain(f"no tunnel {EVIL}\nat all", FAILED) == FAILED
    assert is_safe(errors.getvalue()) and errors.getvalue().count("\n") == 1
    assert errors.getvalue().endswith(" at all\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_is_no_fault(closed: str) -> None:
    script = "import sys; from prol2tp.cli.prol2tp import main; sys.argv = ['prol2tp', '--version']; sys.exit(main())"
    outcome = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, script], capture_output=True,
                             text=True, timeout=60, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
