"""The page of the control protocol says what the declarations say."""

from pathlib import Path

from prol2tp.control.command import ERRORS
from prol2tp.control.reference import rewritten, sections

PAGE = Path(__file__).parents[3] / "docs" / "control-protocol.md"


def test_the_page_and_the_declarations_are_equal():
    page = PAGE.read_text("utf-8")
    assert page == rewritten(page), "python3 -m prol2tp.control.reference docs/control-protocol.md"


def test_all_sections_have_text():
    assert all(text.strip() for text in sections().values())


def test_the_page_has_every_error_code():
    page = PAGE.read_text("utf-8")
    assert all(f"| `{code}` |" in page for code in ERRORS if code != "GONE")
