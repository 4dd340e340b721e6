"""`help` of both tools."""

from __future__ import annotations

import io

import pytest

from prol2tp.cli import proac_info, prol2tp, propppctl


@pytest.mark.parametrize("tool", [prol2tp, propppctl, proac_info])
def test_help_about_no_command_is_a_usage_error_in_one_line(tool):
    program = tool.program()
    program._output, program._errors = io.StringIO(), io.StringIO()
    assert program.run(["help", "nonsense"]) == 2
    assert program._errors.getvalue() == f"{program.name}: no command begins with 'nonsense'\n"


@pytest.mark.parametrize(("tool", "words", "form"), [
    (prol2tp, ["show", "tu"], "show tunnels"), (propppctl, ["set"], "set log-level LEVEL [NAME]"),
    (proac_info, ["rem"], "remove {allow | deny} MAC [on INTERFACE]")])
def test_help_about_the_beginning_of_a_command_lists_its_forms(tool, words, form):
    program = tool.program()
    program._output = io.StringIO()
    assert program.run(["help", *words]) == 0
    assert f"  {form}" in program._output.getvalue().splitlines()
