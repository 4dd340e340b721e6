"""The pages of the configuration files, the commented files and the examples say what the tables say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from prol2tp.config import links, proacd, prol2tpd, propppd, routes, tunnels
from prol2tp.config.links import PROFILE
from prol2tp.config.parameter import BlockType, Parameter
from prol2tp.daemons.propppd import create

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"prol2tpd.conf.5": tunnels.FILE, "propppd.conf.5": links.FILE, "proacd.conf.5": routes.FILE}
LOADERS = {"prol2tpd.conf": prol2tpd.load, "propppd.conf": propppd.load, "proacd.conf": proacd.load}

# sections whose parameters a block takes too, as the page says in words, and those of them that it does not take
ALSO = {
    "tunnel": (["tunnel profile"], {"peer_hostname"}),
    "session profile": (["pseudowire profile"], set()),
    "session": (["session profile", "pseudowire profile"], set()),
}
_NO_TUNNEL = set(tunnels.TUNNEL_PROFILE.parameters) - set(routes.TUNNEL_ROWS)
# what sections of proacd.conf.5 say in words: they take those of another section, here or of another page, but some
ELSEWHERE: dict[str, list[tuple[str, str, set[str]]]] = {
    "profile radius": [("propppd.conf.5", "radius", set())],
    "server": [("propppd.conf.5", "server", set())],
    "dynamic_authorization": [("propppd.conf.5", "dynamic_authorization", set())],
    "client": [("propppd.conf.5", "client", set())],
    "profile l2tp": [("prol2tpd.conf.5", "tunnel profile", _NO_TUNNEL)],
    "session": [
        ("prol2tpd.conf.5", "session profile", set(tunnels.SESSION_PROFILE.parameters) - set(routes.SESSION_ROWS)),
        ("prol2tpd.conf.5", "pseudowire profile", set(tunnels.SESSION_PROFILE.parameters) - set(routes.SESSION_ROWS)),
    ],
    "destination l2tp": [("prol2tpd.conf.5", "tunnel profile", _NO_TUNNEL), ("proacd.conf.5", "profile l2tp", set())],
    "peer": [("prol2tpd.conf.5", "tunnel profile", _NO_TUNNEL), ("proacd.conf.5", "profile l2tp", set())],
}


def sections_of(page: str, kind: BlockType) -> list[dict[str, str]]:
    """The entries that say what a block takes: its own section, then others'."""
    sections = entries(page)
    own = [sections[kind.words]]
    if page != "proacd.conf.5":
        others, without = ALSO.get(kind.words, ([], set()))
        own += [sections[other] for other in others]
        return [{name: text for name, text in section.items() if name not in without} for section in own]
    for other, section, but in ELSEWHERE.get(kind.words, []):
        own.append({name: text for name, text in entries(other)[section].items() if name not in but})
    return own


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
        written = {name for section in sections_of(page, kind) for name in section}
        assert written == set(kind.parameters), f"{page}, {kind.words}"


def test_page_of_proacd_conf_says_which_parameters_of_other_files_it_does_not_take() -> None:
    text = (ROOT / "man/proacd.conf.5").read_text()
    for kind, section in (("profile l2tp", "tunnel profile"), ("session", "session profile")):
        said = text.partition(f"\n.Ss {kind}\n")[2].partition(f".Ic {section}\n")[2].partition("\nbut\n")[2]
        names = set(re.findall(r"\w+", " ".join(re.findall(r"(?m)^\.Ic (.*)$", said.partition(" ,\n")[0] + "\n"))))
        assert names == ELSEWHERE[kind][0][2], names ^ ELSEWHERE[kind][0][2]


def text_of(page: str, kind: BlockType, row: Parameter) -> str:
    for section in sections_of(page, kind):
        if row.name in section:
            return section[row.name]
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
    ends = {"pppoe-static": ("client", "lac", "lns"), "pppoe-radius": ("lac", "lns"),
            "tunnel-switch": ("lac", "switch", "lns")}
    for example, of_example in ends.items():
        have = {path.split("/")[1] for path in found if path.startswith(f"{example}/")}
        assert have == set(of_example)
        assert f"{example}/{'switch' if example == 'tunnel-switch' else 'lac'}/proacd.conf" in found


@pytest.mark.parametrize("name", LOADERS)
def test_default_file_changes_nothing_and_loads_with_all_comments_taken_off(name: str) -> None:
    text = (ROOT / "etc" / name).read_text()
    assert LOADERS[name](text, name) == LOADERS[name]("", name)
    LOADERS[name](re.sub(r"(?m)^#(?=\S|    )", "", text), name)


@pytest.mark.parametrize(("name", "file"), [(page.removesuffix(".5"), file) for page, file in PAGES.items()])
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


def blocks_of(page: str, word: str) -> list[str]:
    """Indented examples of a page in Markdown that have a line that begins with the word."""
    found = re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", (ROOT / page).read_text())
    return [block for block in found if re.search(rf"(?m)^    {word}\b", block)]


@pytest.mark.parametrize(("page", "count"), [("docs/proacd.md", 3)])
def test_examples_of_the_guide_load(page: str, count: int) -> None:
    examples = blocks_of(page, "route")
    assert len(examples) == count
    for example in examples:
        assert proacd.load(example, page).routes


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
