"""docs/migration.md: names of other programs are theirs, and names that stand for them are ours."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from prol2tp.cli import proac_info, prol2tp, propppctl
from prol2tp.config import links, routes, tunnels

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {
    "xl2tpd": ["/usr/sbin/xl2tpd", "/usr/share/man/man5/xl2tpd.conf.5.gz", "/usr/share/man/man8/xl2tpd-control.8.gz"],
    "l2tpns": ["/usr/sbin/l2tpns", "/usr/share/man/man5/startup-config.5.gz", "/usr/share/man/man8/nsctl.8.gz"],
}
# of pppd, or words that stand for any name
OTHERS = {"xl2tpd": {"ip-up", "ip-down", "plugin radius.so", "[lns NAME]", "[lac NAME]"}, "l2tpns": {"nsctl"}}
HEADINGS = {"xl2tpd": "From xl2tpd and pppd", "accel-ppp": "From accel-ppp", "l2tpns": "From l2tpns"}
# what stands for an option and is none: scripts, programs, values
WORDS = {"ppp-up", "ppp-down", "-o", "preempt", "refuse", "same", "ephemeral", "--json show", "prol2tp", "propppctl",
         "proac_info", "destination l2tp", "destination radius", "log_categories { ppp debug }", "ipsec saref",
         "connmark"}


def table(program: str) -> list[tuple[list[str], list[str]]]:
    """Of each row the words in code marks of both columns."""
    text = (ROOT / "docs/migration.md").read_text("utf-8")
    section = text.partition(f"\n## {HEADINGS[program]}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (.*?) \| (.*) \|$", section)[1:]
    found = [(re.findall(r"`([^`]+)`", theirs), re.findall(r"`([^`]+)`", ours)) for theirs, ours in rows]
    return [row for row in found if row[0]]


@pytest.mark.interop("xl2tpd", "l2tpns")
@pytest.mark.parametrize("program", SOURCES)
def test_an_option_of_another_program_is_one_that_it_knows(program: str) -> None:
    known = ""
    for name in SOURCES[program]:
        octets = Path(name).read_bytes()
        known += (gzip.decompress(octets) if name.endswith(".gz") else octets).decode("utf-8", "replace")
    for words, _ in table(program):
        for word in words:
            assert word in OTHERS[program] or word.removeprefix("set ") in known, word


@pytest.mark.parametrize("program", HEADINGS)
def test_what_stands_for_it_is_a_parameter_or_a_command_of_ours(program: str) -> None:
    kinds = [kind for file in (tunnels.FILE, links.FILE, routes.FILE) for kind in file.walk()]
    names = {row for kind in kinds for row in kind.parameters} | {word for kind in kinds for word in kind.words.split()}
    names |= {kind.words for kind in kinds}
    tools = {"prol2tp": prol2tp, "propppctl": propppctl, "proac_info": proac_info}
    for _, words in table(program):
        for word in words:
            first, *rest = word.split()
            if word in WORDS or first in names:
                continue
            assert first in tools and tools[first].program().grammar.usage(rest), word
