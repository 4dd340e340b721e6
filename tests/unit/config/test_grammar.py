"""Lexer and blocks: what is a token, where a parameter ends, how much time bad text takes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prol2tp.config import prol2tpd, propppd
from prol2tp.config.blocks import parse
from prol2tp.config.lexer import CLOSE, END, OPEN, STRING, WORD, quoted, tokens
from prol2tp.config.problems import ConfigError, Problems
from prol2tp.config.tunnels import FILE
from tests.steps import steps


def lexed(text: str) -> list[tuple[int, str]]:
    problems = Problems(text, "x")
    found = [token[:2] for token in tokens(text, problems)]
    problems.refuse()
    return found


def tree(text: str):
    problems = Problems(text, "x")
    root = parse(text, problems)
    problems.refuse()
    return root


def hostname(text: str) -> str:
    return prol2tpd.load(text, "x").system.hostname


def test_tokens_have_kind_text_and_offset() -> None:
    text = 'a "b c" { d;\n}'
    assert list(tokens(text, Problems(text, "x"))) == [
        (WORD, "a", 0), (STRING, "b c", 2), (OPEN, "{", 8), (WORD, "d", 10),
        (END, ";", 11), (END, "\n", 12), (CLOSE, "}", 13),
    ]  # fmt: skip


def test_a_hash_begins_a_comment_only_at_the_start_of_a_word() -> None:
    assert lexed('a#b # c "d" {\n"e"# f\n# g') == [(WORD, "a#b"), (END, "\n"), (STRING, "e"), (END, "\n")]


def test_a_hash_in_a_string_is_no_comment() -> None:
    assert lexed('"a # b"') == [(STRING, "a # b")]


def test_carriage_returns_and_a_byte_order_mark_mean_nothing() -> None:
    assert hostname('\ufeffsystem {\r\n  hostname "a"\r\n}\r\n') == "a"


def test_escapes() -> None:
    assert lexed(r'"a\"b\\c\nd\te"') == [(STRING, 'a"b\\c\nd\te')]


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc"), whitelist_characters="\n\t"), max_size=30))
def test_any_printable_text_survives_quoting(text: str) -> None:
    assert lexed(quoted(text)) == [(STRING, text)]


def test_a_semicolon_a_newline_or_a_brace_ends_a_parameter() -> None:
    for text in (
        "system { hostname a; log_level info }",
        "system {\nhostname a\nlog_level info\n}",
        "system{hostname a;}",
    ):
        assert hostname(text) == "a"


def test_the_brace_may_stand_on_the_next_line() -> None:
    assert hostname("system   # the daemon\n\n{\n hostname a\n}") == "a"


def test_a_brace_after_a_semicolon_opens_nothing() -> None:
    with pytest.raises(ConfigError, match="without a type"):
        hostname("system;\n{\n hostname a\n}")


def test_block_types_may_have_several_words_and_names_any_text() -> None:
    root = tree('tunnel  profile "a b{}" { x 1 2; y\nz { } }')
    block = root.blocks[0]
    assert (block.type, block.name, [[t[1] for t in s] for s in block.statements]) == (
        "tunnel profile", "a b{}", [["x", "1", "2"], ["y"]],
    )  # fmt: skip
    assert [inner.type for inner in block.blocks] == ["z"]


def test_an_empty_file_is_good() -> None:
    assert prol2tpd.load("", "x").tunnels == {}
    assert propppd.load("# nothing\n", "x").users == {}


def refused(load, text: str) -> ConfigError | None:
    try:
        load(text, "x")
    except ConfigError as error:
        return error
    return None


@given(text=st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_loaded_or_refused_with_a_message(text: str) -> None:
    for load in (prol2tpd.load, propppd.load):
        error = refused(load, text)
        assert error is None or error.problems and str(error).startswith("x:")


NAMES = [name for kind in FILE.walk() for name in (*kind.parameters, kind.words) if name]
PIECES = st.sampled_from(
    [*NAMES, "{", "}", "{\n", "}\n", "\n", ";", '"', '"a"', "a", "1", "10.0.0.1", "10.0.0.0/8", "true", "#", "\\",
     "\x00", "hex:00", "[::1]:1", "-", "%d", "\udc80", "\xa0", "default", '"default"', "any", "none", "1.5h", "\t"]
)  # fmt: skip


@given(pieces=st.lists(PIECES, max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_row_of_pieces_is_loaded_or_refused_with_a_message(pieces: list[str]) -> None:
    for load in (prol2tpd.load, propppd.load):
        error = refused(load, " ".join(pieces))
        for problem in error.problems if error is not None else ():
            assert problem.line > 0 and problem.column > 0 and 0 <= problem.caret <= len(problem.source)


def load_or_refuse(load, text: str) -> None:
    try:
        load(text, "x")
    except ConfigError as error:
        str(error)


HOSTILE = {
    "a line of quotes": '"' * 200_000,
    "a long unclosed string": 'system { hostname "' + "a" * 500_000,
    "a long word with a quote": "a" * 500_000 + '"',
    "strings without a space": '"a"x' * 50_000,
    "backslashes": '"' + "\\" * 500_001,
    "deep blocks": "a {" * 100_000,
    "closing braces": "}" * 200_000,
    "unknown parameters": "system {\n" + "hostnme x\n" * 50_000 + "}",
    "unknown blocks": 'tunel "a" { }\n' * 50_000,
    "unknown references": "".join(f'profile "p{i}" {{ ip_pool "q{i}" }}\n' for i in range(20_000)),
    "control characters": "\x00" * 200_000,
    "no-break spaces": "\xa0" * 200_000,
    "one list": "system { listen " + "10.0.0.1 " * 100_000 + "}",
    "digits": "system { max_tunnels " + "9" * 500_000 + "}",
    "secrets on one line": "system { " + "secret x; " * 20_000 + "\x00}",
    "one value after another": "system {" + "listen 10.0.0.1;" * 20_000 + "}",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_steps_grow_no_faster_than_the_text(case: str) -> None:
    load = propppd.load if "ip_pool" in HOSTILE[case] else prol2tpd.load
    # the whole text once, for what the regular expressions do with it; its beginning line by line
    load_or_refuse(load, HOSTILE[case])
    beginning = HOSTILE[case][:20_000]
    assert steps(load_or_refuse, load, beginning) < 60 * len(beginning)


def test_each_user_of_a_large_file_costs_the_same() -> None:
    def users(count: int) -> str:
        return "".join(f'user "u{i}" {{ password "p{i}"; ip 10.0.{i >> 8}.{i & 255} }}\n' for i in range(count))

    few, many = (steps(propppd.load, users(count), "x") / count for count in (200, 4000))
    assert many < 1.1 * few
