"""The pages of the configuration files, the commented files and the examples say what the tables say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from prol2tp.config import links, prol2tpd, propppd, tunnels
from prol2tp.config.links import PROFILE
from prol2tp.config.parameter import BlockType, Parameter
from prol2tp.daemons.propppd import create

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"prol2tpd.conf.5": tunnels.FILE, "propppd.conf.5": links.FILE}
LOADERS = {"prol2tpd.conf": prol2tpd.load, "propppd.conf": propppd.load}

# sections whose parameters a block takes too, as the page says in words, and those of them that it does not take
ALSO = {
    "tunnel": (["tunnel profile"], {"peer_hostname"}),
    "session profile": (["pseudowire profile"], set()),
    "session": (["session profile", "pseudowire profile"], set()),
}


def entries(page: str) -> dict[str, dict[str, str]]:
    """Sections (.Ss) of a page, and in each the text of every parameter."""
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    name = None
    for line in (ROOT / "man" / page).read_text().split("\n"):
        if line.startswith((".Ss ", ".Sh ")):
            section, name = found.setdefault(line[4:], {}), None
        elif match := re.match(r"\.It Ic (\w+)(.*)", line):
            name = match[1]
            assert name not in section, f"{page}: {name} stands twice in a section"
            section[name] = match[2] + "\n"
        elif line.startswith(".El"):
            name = None
        elif name is not None:
            section[name] += line + "\n"
    return found


def kinds(file: BlockType) -> list[BlockType]:
    return [kind for kind in file.walk() if kind.parameters]


ROWS = [(page, kind, row) for page, file in PAGES.items() for kind in kinds(file) for row in kind.parameters.values()]


@pytest.mark.parametrize("page", PAGES)
def test_page_and_tables_have_the_same_parameters(page: str) -> None:
    sections = entries(page)
    documented = {section for section, rows in sections.items() if rows}
    assert documented == {kind.words for kind in kinds(PAGES[page])}
    for kind in kinds(PAGES[page]):
        others, without = ALSO.get(kind.words, ([], set()))
        written = set(sections[kind.words])
        for other in others:
            written |= set(sections[other])
        assert written - without == set(kind.parameters), f"{page}, {kind.words}"


def text_of(page: str, kind: BlockType, row: Parameter) -> str:
    sections = entries(page)
    for section in (kind.words, *ALSO.get(kind.words, ([], set()))[0]):
        if row.name in sections[section]:
            return sections[section][row.name]
    raise AssertionError(f"{page}: {row.name} of {kind.words} is not there")


@pytest.mark.parametrize(("page", "kind", "row"), ROWS, ids=lambda v: getattr(v, "name", getattr(v, "words", v)))
def test_page_gives_form_and_default_of_every_parameter(page: str, kind: BlockType, row: Parameter) -> None:
    usage, _, text = text_of(page, kind, row).partition("\n")
    form = re.sub(r"\b(Ar|Cm|Ns)\b|\\&|\s", "", usage.replace("Op : Ns Ar port", "[:port]")).replace("Oo", "[")
    form = form.replace("Oc", "]").replace("Op:rx", "[:rx]").removesuffix("...")
    assert form == row.type.metavar.replace(" ", ""), usage
    assert usage.endswith("...") == row.many
    if row.required:
        return
    assert "Default:" in text
    default = row.default_text()
    assert not default or f"Default: {default}." in text


@pytest.mark.parametrize(("page", "kind", "row"), ROWS, ids=lambda v: getattr(v, "name", getattr(v, "words", v)))
def test_every_parameter_has_one_line_of_help(page: str, kind: BlockType, row: Parameter) -> None:
    assert row.help.endswith(".") and row.help[0].isupper() and "\n" not in row.help and len(row.help) < 100


@pytest.mark.parametrize("page", PAGES)
def test_page_is_clean_mdoc(page: str) -> None:
    command = ["mandoc", "-T", "lint", "-W", "warning", str(ROOT / "man" / page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", sorted((ROOT / "etc").rglob("*.conf")), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_loads(path: Path) -> None:
    LOADERS[path.name](path.read_text(), str(path))


def test_there_are_examples_of_both_ends() -> None:
    found = {str(path.relative_to(ROOT / "etc/examples")) for path in (ROOT / "etc/examples").rglob("*.conf")}
    names = {"prol2tpd.conf", "propppd.conf"}
    assert found >= {f"{end}/{name}" for end in ("lns", "lns-radius", "lac-client") for name in names}


@pytest.mark.parametrize("name", LOADERS)
def test_default_file_changes_nothing_and_loads_with_all_comments_taken_off(name: str) -> None:
    text = (ROOT / "etc" / name).read_text()
    assert LOADERS[name](text, name) == LOADERS[name]("", name)
    LOADERS[name](re.sub(r"(?m)^#(?=\S|    )", "", text), name)


@pytest.mark.parametrize(("name", "file"), [("prol2tpd.conf", tunnels.FILE), ("propppd.conf", links.FILE)])
def test_default_file_shows_every_parameter(name: str, file: BlockType) -> None:
    shown = set(re.findall(r"(?m)^#\s+(\w+) (?!\{)", (ROOT / "etc" / name).read_text()))
    assert shown >= {row for kind in file.walk() for row in kind.parameters}


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_the_page_load(page: str) -> None:
    text = (ROOT / "man" / page).read_text().partition(".Sh EXAMPLES")[2].partition(".Sh ")[0]
    examples = re.findall(r"\.Bd .*?\n(.*?)\.Ed", text, re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        LOADERS[page.removesuffix(".5")](example.replace("\\e", "\\"), page)


def test_option_words_of_propppctl_create_stand_in_its_page() -> None:
    page = (Path(__file__).parent.parent / "man" / "propppctl.1").read_text()
    options = page[page.index(".Sh OPTIONS OF A NEW LINK"):]
    words = {word for line in options.splitlines() if line.startswith(".It Cm ")
             for word in re.findall(r"Cm ([\w-]+)", line)}
    methods = {f"{verb}-{method}" for verb in ("require", "refuse") for method in create.METHODS}
    methods |= {f"require-{strength}" for strength in create.STRENGTHS}
    own = {word for kind in create.REQUESTS for word in (*create.WORDS[kind], *create.FIELD_FLAGS[kind])}
    methods |= {f"{no}{codec}" for codec in create.CODECS for no in ("", "no")}
    bare = {*create.PASSED_OVER, "unit", "profile", "nic-", "plugin", "asyncmap", "default-asyncmap"}
    assert words == {*create.FLAGS, *create.VALUES, *methods, *own, *bare}
    assert all(name in PROFILE.parameters for name, _ in create.FLAGS.values())
    assert all(name in PROFILE.parameters for name in create.VALUES.values())
