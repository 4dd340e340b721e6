"""The changelog's fragments: towncrier takes each of them, and they read as one list."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FRAGMENTS = sorted(path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md")
NAME = re.compile(r"(?:\+[a-z0-9-]+|[0-9]+)\.([a-z]+)\.md")
KINDS = re.findall(r'^directory = "(\w+)"', (ROOT / "pyproject.toml").read_text(), re.M)


def test_fragments_are_sentences_of_one_paragraph_without_a_bullet():
    for path in FRAGMENTS:
        text = path.read_text()
        found = NAME.fullmatch(path.name)
        assert found and found[1] in KINDS, f"{path.name}: +NAME.KIND.md, where KIND is one of {', '.join(KINDS)}"
        assert re.match(r"[`\w]", text), f"{path.name}: starts with {text[:1]!r}; towncrier puts the bullet there"
        assert text.endswith(".\n") and "\n\n" not in text, f"{path.name}: one paragraph that ends with a full stop"


def test_towncrier_makes_a_list_of_all_fragments_and_writes_nothing_until_a_release():
    before = (ROOT / "CHANGELOG.md").read_bytes()
    done = subprocess.run([sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.8.7"], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("## 9.8.7 - ")
    words = " ".join(done.stdout.split())
    for path in FRAGMENTS:
        assert " ".join(path.read_text().split()) in words, path.name
    assert (ROOT / "CHANGELOG.md").read_bytes() == before


def test_the_changelog_has_a_place_for_the_next_release_and_contributing_says_how():
    assert (ROOT / "CHANGELOG.md").read_text().count("\n<!-- towncrier release notes start -->\n") == 1
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert "changelog.d" in text and "towncrier build" in text
    for kind in KINDS:
        assert f"`{kind}`" in text, kind
