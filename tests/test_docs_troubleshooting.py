"""What docs/troubleshooting.md quotes is what the programs say: messages, parameters, causes, counters."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from prol2tp.config import proacd, prol2tpd, propppd
from prol2tp.config.parameter import BlockType
from prol2tp.l2tp.context import Counters
from prol2tp.ppp.causes import CAUSES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
FOREIGN = ("ss", "tcpdump", "sysctl", "modprobe", "systemctl", "nstat", "--device")
"""Programs of others, and an option of podman."""
OURS = ("prol2tp", "propppctl", "proac_info", "prol2tpd", "prol2tpwatch", "propppwatch")
SYSTEM = {os.strerror(number) for number in errno.errorcode} | {
    "net.core.rmem_max", "rp_filter", "LimitNOFILE", "Event-Timestamp", "--run-dir", "rate"}  # fmt: skip


def said() -> Iterator[str]:
    """All texts of the sources; what they are filled with is {}."""
    for path in (ROOT / "prol2tp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"\{\w*[^{}]*\}", "{}", node.value)


SAID = "\0".join(said())
PLACE = re.compile(r"\b(?:NAME|COUNT|DAEMON|REASON)\b")


def is_said(words: str) -> bool:
    return PLACE.sub("{}", words) in SAID


def parameters() -> set[str]:
    found: set[str] = set()

    def walk(kind: BlockType) -> None:
        found.update(kind.parameters)
        for words, inner in kind.blocks.items():
            found.update(words.split())
            walk(inner)

    for module in (prol2tpd, propppd, proacd):
        walk(module.FILE)
    return found


PARAMETERS = parameters()


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("words", sorted(set(quoted(re.sub(r"(?m)^    .*$", "", TEXT)))))
def test_every_word_in_code_marks_is_one_of_the_programs(words: str) -> None:
    first, *more = words.split()
    if first in FOREIGN or first in OURS or words in SYSTEM or words in CAUSES or words in Counters.__slots__:
        return
    if words.startswith("prol2tpd.conf:") or (first in PARAMETERS and len(more) < 2):
        return
    assert is_said(words), f"nothing says {words!r}"


def test_what_nobody_says_is_noticed() -> None:
    assert is_said("no tunnel profile for this peer") and is_said("server NAME does not answer")
    assert not is_said("no tunnel profile for that peer") and not is_said("server r1 does not answer")


def test_the_symptoms_of_a_log_are_quoted() -> None:
    rows = re.findall(r"(?m)^\| (`[^|]*`) \|", TEXT)
    assert sum(is_said(words) for row in rows for words in quoted(row)) > 15


def test_every_cause_is_explained_and_no_other() -> None:
    first = [row.split("|")[1] for row in section("Why it ended: cause words").splitlines() if row.startswith("| `")]
    assert sorted(quoted(" ".join(first))) == sorted(CAUSES)


def test_the_counters_are_those_of_the_protocol() -> None:
    first = [row.split("|")[1] for row in section("Counters that rise").splitlines() if row.startswith("| `")]
    assert quoted(" ".join(first)) and set(quoted(" ".join(first))) <= set(Counters.__slots__)
