"""The documents point to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = ROOT / "docs" / "decisions"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_named_in_code_marks_is_there(page: Path) -> None:
    named = re.findall(r"`((?:tests|tools|bench|docs|etc|man|l2tp|ppp|net|control|daemons|dataplane|cli|config|common)"
                       r"/[a-z0-9_./{},]*)`", page.read_text())  # fmt: skip
    missing = [path for path in named if "{" not in path
               and not (ROOT / path).exists() and not (ROOT / "prol2tp" / path).exists()]  # fmt: skip
    assert not missing


def test_the_index_names_every_decision_once() -> None:
    files = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    index = re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", (DECISIONS / "README.md").read_text())
    assert index == files
    for number, name in enumerate(files, 1):
        assert name.startswith(f"{number:04d}-")
        text = (DECISIONS / name).read_text()
        for part in ("Context", "Decision", "Consequences", "Alternatives"):
            assert f"**{part}.**" in text, name


def test_the_configurations_of_the_readme_are_valid() -> None:
    from prol2tp.config import prol2tpd, propppd

    blocks = re.findall(r"(?:^    .*\n|^\n)+", (ROOT / "README.md").read_text(), re.M)
    texts = [re.sub(r"^    ", "", block, flags=re.M) for block in blocks]
    (lns,) = [text for text in texts if "tunnel profile" in text]
    users, radius = [text for text in texts if "ip_pool" in text]
    assert prol2tpd.load(lns, "prol2tpd.conf").tunnel_profiles["lac1"].peer_hostname
    assert set(propppd.load(users, "propppd.conf").users) == {"u1@example.com", "u2@example.com"}
    assert set(propppd.load(radius, "propppd.conf").radius.servers) == {"r1", "r2"}
