"""The guides: files are quoted as they are, commands are such that the tools take, and every example has its guide."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from prol2tp.cli import proac_info, prol2tp, propppctl
from prol2tp.cli.grammar import UsageError
from tests.guides import PAGES, ROOT, blocks, missing, steps

TOOLS = {"prol2tp": prol2tp, "propppctl": propppctl, "proac_info": proac_info}
GUIDES = sorted((ROOT / "docs/guides").glob("*.md"))
WITH_COMMANDS = [ROOT / "README.md", ROOT / "docs/troubleshooting.md", ROOT / "docs/proacd.md", *GUIDES]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def commands(page: Path) -> list[list[str]]:
    """Of our tools, in blocks of shell and indented ones, without options, redirections and comments."""
    text = "".join(block.text for block in blocks(page) if block.language == "sh")
    text += "".join(f"{line[4:]}\n" for line in re.findall(r"(?m)^    .*$", page.read_text("utf-8")))
    found = []
    for tool in TOOLS:
        for line in re.findall(rf"(?m)(?:^|[($;&] ?|exec \w+ )({tool} [^\n]*)", text):
            line = re.sub(r"\s(#.*|[>|;&].*)$|\).*", "", line)
            line = re.sub(r" --(run-dir \S+|json)", "", line)
            found.append(shlex.split(re.sub(r"\b(ID|NUMBER)\b", "1", line)))
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_are_quoted_as_they_are(page: Path) -> None:
    for block in blocks(page):
        if block.language == "conf":
            assert block.text == (ROOT / block.word).read_text("utf-8"), block.place


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_tools_take_the_commands_of_a_page(page: Path) -> None:
    found = commands(page)
    assert found
    for tool, *words in found:
        grammar = TOOLS[tool].program().grammar
        try:
            grammar.match(words)
        except UsageError as error:
            raise AssertionError(f"{page.name}: {tool} {shlex.join(words)}: {error}") from None


def test_every_example_is_quoted_in_a_guide_and_in_the_list_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    quoted = {block.word.split("/")[2] for page in GUIDES for block in blocks(page) if block.language == "conf"}
    for example in (ROOT / "etc/examples").iterdir():
        assert example.name in quoted and f"(etc/examples/{example.name})" in readme, example.name
    for page in GUIDES:
        assert f"(docs/guides/{page.name})" in readme


def test_a_step_is_followed_by_what_it_shows() -> None:
    found = steps(ROOT / "docs/guides/first-steps.md")
    first = next(step for step in found if step.block.text.startswith("propppctl list"))
    assert first.shows[-1].endswith("u1@example.com")


@pytest.mark.parametrize(("shows", "output", "lacks"), [
    (["a", "c"], "a\nb\nc\n", ""),
    (["c", "a"], "a\nb\nc\n", "a"),
    (["up  0:00:01 12345"], "  up 10:20:30 777\n", ""),
    (["sessions: 3"], "sessions: 33\n", "sessions: 3"),
    (["… u1 … UP"], "session-1 u1 x y UP\n", ""),
    (["u1 … UP"], "u1 DOWN\n", "u1 … UP"),
    (["a.c"], "abc\n", "a.c"),
])
def test_what_a_page_shows_is_looked_for_line_by_line(shows: list[str], output: str, lacks: str) -> None:
    assert missing(shows, output) == lacks
