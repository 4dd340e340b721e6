"""Man page, --help and grammar of each tool say the same, in both directions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from prol2tp.cli import proac_info, prol2tp, propppctl
from prol2tp.cli.grammar import _TOKENS
from prol2tp.cli.program import OPTIONS
from prol2tp.control.commands.proacd import EXIT_CODES
from prol2tp.ppp.causes import CAUSES

MAN = Path(__file__).parents[3] / "man"
TOOLS = {"prol2tp": prol2tp, "propppctl": propppctl, "proac_info": proac_info}


def tags(page: str, section: str, macro: str) -> list[str]:
    """The `.It` lines of a section that begin with that macro, as plain text."""
    text = (MAN / page).read_text("utf-8").partition(f"\n.Sh {section}\n")[2].partition("\n.Sh ")[0]
    lines = [line for line in text.splitlines() if line.startswith(f".It {macro} ")]
    return [" ".join(word for word in line.split()[1:] if word not in ("Ic", "Ar", "No", "Ns", "Fl")) for line in lines]


def tokens(syntax: str) -> list[str]:
    return _TOKENS.findall(syntax)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_has_all_forms_in_their_order_and_no_others(tool):
    found = [tokens(line) for line in tags(f"{tool}.1", "COMMANDS", "Ic")]
    assert found == [tokens(form.syntax) for form in TOOLS[tool].FORMS]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_has_all_arguments_and_no_others(tool):
    words = TOOLS[tool].WORDS
    assert tags(f"{tool}.1", "COMMANDS", "Ar") == [name for name, word in words.items() if word.kind != "flag"]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_has_all_words_of_a_choice(tool):
    page = (MAN / f"{tool}.1").read_text("utf-8")
    for word in TOOLS[tool].WORDS.values():
        assert set(word.choices) <= set(re.findall(r"[\w-]+", page))


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_has_all_options_and_no_others(tool):
    # `-name` is how mdoc writes --name
    found = [f"-{line}" for line in tags(f"{tool}.1", "DESCRIPTION", "Fl")]
    assert found == [f"{option.name} {option.value}".strip() for option in OPTIONS]


@pytest.mark.parametrize("tool", TOOLS)
def test_help_has_all_forms_arguments_and_options_and_no_others(tool):
    text = TOOLS[tool].program().help()
    start, arguments = text.index("commands (keywords may be abbreviated):"), text.index("where")
    forms = [line.strip() for line in text[start + 1 : arguments - 1 : 2]]
    assert forms == [form.syntax for form in TOOLS[tool].FORMS]
    options = [line.split()[0] for line in text[text.index("options:") + 1 : start - 1]]
    assert options == [option.name for option in OPTIONS]
    words = [line.split()[0] for line in text[arguments + 1 : -2]]
    assert words == [name for name, word in TOOLS[tool].WORDS.items() if word.kind != "flag"]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_has_every_exit_status(tool):
    page = (MAN / f"{tool}.1").read_text("utf-8")
    assert re.findall(r"^\.It (\d)$", page, re.MULTILINE) == ["0", "1", "2", "3"]


def test_the_page_of_proac_info_says_which_causes_each_exit_code_of_pppd_stands_for():
    page = (MAN / "proac_info.1").read_text("utf-8").partition("\n.Sh COUNTERS\n")[2].partition("\n.Sh ")[0]
    found = dict(re.findall(r"^\.It (?:\\&)?(.+)\n(.+)\.$", page, re.MULTILINE))
    said = {code: {word for word in text.split(", ") if word in CAUSES} for code, text in found.items()}
    assert tuple(said) == EXIT_CODES
    assert said == {code: {c.word for c in CAUSES.values() if c.exit_code == code} for code in EXIT_CODES}
    shown = subprocess.run(["mandoc", "-T", "ascii", MAN / "proac_info.1"], capture_output=True, text=True, check=True)
    assert set(EXIT_CODES) <= {line.strip() for line in re.split(r"\n|  +", shown.stdout)}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_is_well_formed(tool):
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", MAN / f"{tool}.1"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
