"""The pages of the manual: options are those of the daemons, examples are good, and the source is clean mdoc."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from prol2tp.config import prol2tpd as prol2tpd_config
from prol2tp.config import propppd as propppd_config
from prol2tp.control.commands import proacd, prol2tpd, propppd
from prol2tp.daemons.base import CommonOptions
from prol2tp.daemons.launch import with_foreground
from prol2tp.daemons.pathd.service import Options as Pathd
from prol2tp.daemons.proacd.service import Options as Proacd
from prol2tp.daemons.prol2tpd.service import Options as Prol2tpd
from prol2tp.daemons.propppd.service import Options as Propppd
from prol2tp.daemons.scriptd.scripts import OWN_VARIABLES, SCRIPTS, VARIABLES
from prol2tp.daemons.scriptd.service import Options as Scriptd
from prol2tp.daemons.webd.service import Options as Webd

MAN = Path(__file__).resolve().parent.parent / "man"
PAGES = sorted(MAN.iterdir())
DAEMONS = (Prol2tpd, Propppd, Pathd, Scriptd, Proacd, Webd)


def declared(options: CommonOptions) -> set[str]:
    """All options with their dashes."""
    letters = {f"-{letter}" for letter in options.shortOpt.replace(":", "")}
    return letters | {f"--{name.rstrip('=')}" for name in options.longOpt}


def described(page: str) -> set[str]:
    return {f"-{word}" for line in page.splitlines() if line.startswith(".It Fl ")
            for word in re.findall(r"Fl (\S+)", line)}


def in_synopsis(page: str) -> set[str]:
    synopsis = page.partition(".Sh SYNOPSIS")[2].partition(".Nm twistd")[0]
    words = re.findall(r"\.Op Fl (\S+)", synopsis)
    return {option for word in words for option in (
        [f"-{word}"] if word.startswith("-") or len(word) == 1 else [f"-{letter}" for letter in word])}


@pytest.mark.parametrize("options", DAEMONS)
def test_the_page_of_a_daemon_describes_all_its_options_and_no_others(options):
    page = (MAN / f"{options.daemon}.8").read_text()
    assert described(page) == declared(with_foreground(options()))


@pytest.mark.parametrize("options", DAEMONS)
def test_the_synopsis_of_a_daemon_has_each_option_in_one_of_its_forms(options):
    script = with_foreground(options())
    synopsis = in_synopsis((MAN / f"{options.daemon}.8").read_text())
    assert synopsis <= declared(script)
    long = {f"--{name.rstrip('=')}" for name in script.longOpt}
    short = {f"--{name.rstrip('=')}": f"-{letter}" for letter, name in script.synonyms.items() if len(letter) == 1}
    named = {word for word in long if word in synopsis or short.get(word) in synopsis}
    assert named == long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_clean_mdoc(page):
    assert shutil.which("mandoc"), "mandoc is not installed"
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_refer_to_pages_that_there_are(page):
    ours = {one.name for one in PAGES}
    for name, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.MULTILINE):
        if name.startswith(("prol2tp", "proppp", "proac")):
            assert f"{name}.{section}" in ours


def examples(page: str) -> list[str]:
    return re.findall(r"\.Pa /etc/prol2tp/(\S+\.conf) :\n\.Bd [^\n]*\n(.*?)\.Ed", page, re.DOTALL)


def test_the_configurations_of_the_overview_are_good():
    found = examples((MAN / "prol2tp.7").read_text())
    assert [name for name, _ in found] == ["prol2tpd.conf", "propppd.conf"] * 2
    for name, text in found:
        (prol2tpd_config if name == "prol2tpd.conf" else propppd_config).load(text, name)


def test_an_installation_has_all_pages_and_all_example_configurations():
    root = MAN.parent
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    installed = {path: target for target, patterns in setup["options.data_files"].items()
                 for pattern in patterns.split() for path in root.glob(pattern)}
    for page in PAGES:
        assert installed[page] == f"share/man/man{page.suffix[1:]}"
    for example in sorted((root / "etc").rglob("*.conf")):
        assert installed[example].startswith("share/doc/prol2tp/example-configs")


def test_the_page_of_scripts_has_all_scripts_and_all_variables_and_no_others():
    page = (MAN / "prol2tp-scriptd.8").read_text()
    scripts = page.partition(".Sh SCRIPTS")[2].partition(".El")[0]
    assert re.findall(r"^\.It Pa (\S+)$", scripts, re.MULTILINE) == list(SCRIPTS)
    found = re.findall(r"^\.It Ev (\S+)\n(.*)$", page.partition(".Ss Environment of a script")[2], re.MULTILINE)
    assert found == [(one.name, one.help) for one in OWN_VARIABLES + VARIABLES]


def test_every_program_has_a_page_and_is_in_the_overview_and_the_readme():
    setup = configparser.ConfigParser()
    setup.read(MAN.parent / "setup.cfg")
    programs = re.findall(r"(?m)^(\S+) = ", setup["options.entry_points"]["console_scripts"])
    assert len(programs) > 10
    overview, readme = (MAN / "prol2tp.7").read_text(), (MAN.parent / "README.md").read_text()
    for program in programs:
        assert any((MAN / f"{program}.{section}").exists() for section in (1, 8)), program
        assert f"Xr {program} " in overview, program
        assert f"`{program}`" in readme, program


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_man_formats_a_page_without_a_warning(page):
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("page", "module"), [("propppctl.1", propppd), ("proac_info.1", proacd)])
def test_the_page_of_a_tool_has_all_events_of_its_daemon(page, module):
    missing = set(module.EVENTS) - set(re.findall(r"[\w-]+", (MAN / page).read_text()))
    assert not missing


def test_tunnels_and_sessions_have_a_script_for_each_of_their_events():
    page = (MAN / "prol2tp-scriptd.8").read_text()
    events = [event for event in prol2tpd.EVENTS if event.startswith(("tunnel-", "session-"))]
    assert len(events) == 8 and all(f".It Pa {event}\n" in page for event in events)


def test_every_program_has_a_page_and_a_line_in_the_overview_and_in_the_readme():
    setup = configparser.ConfigParser()
    setup.read(MAN.parent / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].strip().split("\n")
    programs = {line.partition("=")[0].strip() for line in lines}
    assert programs == {page.stem for page in PAGES if page.suffix in (".1", ".8")}
    overview = (MAN / "prol2tp.7").read_text().partition(".Bl -tag")[2].partition(".El\n")[0]
    assert set(re.findall(r"Xr (\S+) [18]\b", overview)) == programs
    table = (MAN.parent / "README.md").read_text().partition("| program | what it does |")[2].partition("\n\n")[0]
    assert {name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1] if "|" in row
                                                                     else "")} == programs
