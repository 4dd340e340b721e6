"""Completion in bash and zsh: the scripts are those of the tables, and the shells do with them what they should."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from prol2tp.cli import convert, proac_info, prol2tp, propppctl
from prol2tp.cli.completion import SHELLS, script
from prol2tp.cli.grammar import Grammar
from prol2tp.cli.program import OPTIONS

ROOT = Path(__file__).parents[3]
TOOLS = {"prol2tp": prol2tp, "propppctl": propppctl, "proac_info": proac_info}
NAMES = {"bash": "bash/{}", "zsh": "zsh/_{}"}
ALL_OPTIONS = [option.name for option in OPTIONS]


def file(shell: str, tool: str) -> Path:
    return ROOT / "etc/completion" / NAMES[shell].format(tool)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("shell", SHELLS)
def test_the_files_are_what_the_tools_print(shell, tool):
    assert file(shell, tool).read_text("utf-8") == script(shell, tool, TOOLS[tool].GRAMMAR)


CONVERT = ["--force", "--help", "--output", "--ppp-options", "--secrets"]


def test_the_options_of_the_converter_are_those_of_its_completion():
    command = convert.parser()._subparsers._group_actions[0].choices["xl2tpd"]
    options = [word for action in command._actions for word in action.option_strings if word.startswith("--")]
    assert sorted(options) == CONVERT
    assert re.findall(r"(?m)^        '\*?(--[\w-]+)", file("zsh", "prol2tp-convert").read_text("utf-8")) == CONVERT


@pytest.mark.parametrize(("line", "found"), [
    ("prol2tp-convert ", ["xl2tpd", "--help", "--version"]),
    ("prol2tp-convert xl2tpd --", CONVERT),
    ("prol2tp-convert xl2tpd /usr/lib/os-rel", ["/usr/lib/os-release"]),
    ("prol2tp-convert xl2tpd --output /usr/lo", ["/usr/local"]),
])
def test_bash_completes_the_converter(line, found):
    assert bash("prol2tp-convert", line) == found


@pytest.mark.interop("zsh")
def test_zsh_completes_the_converter():
    told = zsh("prol2tp-convert", "prol2tp-convert ", "_values() { print -rl -- ${@[2,-1]%%\\[*} }")
    assert told == ["xl2tpd", "--help", "--version"]
    told = zsh("prol2tp-convert", "prol2tp-convert xl2tpd --", "_arguments() { print -rl -- $words[1] $CURRENT $@ }")
    assert told[:2] == ["xl2tpd", "2"] and [word.strip("*").partition("[")[0] for word in told[3:-1]] == CONVERT


@pytest.mark.parametrize("tool", TOOLS)
def test_the_automaton_leads_where_the_grammar_leads(tool):
    grammar: Grammar = TOOLS[tool].GRAMMAR
    steps = grammar.automaton()
    # a shortest way to each state
    ways: dict[int, list[str]] = {0: []}
    todo = [0]
    for number in todo:
        step = steps[number]
        following = dict(step.keywords)
        if step.argument is not None:
            following["77"] = step.argument
        for word, to in following.items():
            if to not in ways:
                ways[to] = [*ways[number], word]
                todo.append(to)
    assert len(ways) == len(steps)
    for number, words in ways.items():
        assert sorted(steps[number].keywords) == sorted(grammar.complete(words, ""))


def bash(tool: str, line: str, before: str = "") -> list[str]:
    """What bash would offer at the end of the line, with readline's way of breaking words."""
    words: list[str] = []
    for part in line.split(" "):
        pieces = part.replace(":", " : ").replace("=", " = ").split(" ") if part else [""]
        words += [piece for piece in pieces if piece] or [""]
    done = subprocess.run(["bash", "-uc" if not before else "-c", f"""
set +u
{before}
source {shlex.quote(str(file('bash', tool)))}
COMP_WORDBREAKS=$' \\t\\n"'"'"'><=;|&(:'
COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}
COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}
_{tool.replace("-", "_")}; printf '%s\\n' "${{COMPREPLY[@]}}"
"""], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return [found for found in done.stdout.split("\n") if found]


def zsh(tool: str, line: str, before: str = "") -> list[str]:
    """What zsh would offer; its own functions are stood in for."""
    words = line.split(" ")
    done = subprocess.run(["zsh", "-fc", f"""
compdef() {{ }}
compadd() {{ shift; for word in "$@"; do [[ $word == "$PREFIX"* ]] && print -r -- $word; done }}
_message() {{ print -r -- "hint: $1" }}
_files() {{ print files }}
_directories() {{ print directories }}
{before}
source {shlex.quote(str(file('zsh', tool)))}
words=({' '.join(map(shlex.quote, words))}); CURRENT={len(words)}; PREFIX={shlex.quote(words[-1])}
_{tool}
true
"""], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return [found for found in done.stdout.split("\n") if found]


FIRST = ["show", "create", "destroy", "set", "trace", "reload", "top", "shell", "completion", "complete", "help"]
CASES = [
    ("prol2tp", "prol2tp ", FIRST),
    ("prol2tp", "prol2tp s", ["show", "set", "shell"]),
    ("prol2tp", "prol2tp show ", ["system", "tunnels", "tunnel", "sessions", "session", "history", "scripts"]),
    ("prol2tp", "prol2tp show sess", ["sessions", "session"]),
    ("prol2tp", "prol2tp sh", ["show", "shell"]),
    ("prol2tp", "prol2tp sho sessions ", ["in"]),
    ("prol2tp", "prol2tp show session id 7 in tunnel id 8 ", ["stats"]),
    ("prol2tp", "prol2tp show session name s in tunnel ", ["id", "name"]),
    ("prol2tp", "prol2tp --json show sys", ["system"]),
    ("prol2tp", "prol2tp --run-dir /tmp --json show sys", ["system"]),
    ("prol2tp", "prol2tp --run-dir=/tmp show sys", ["system"]),
    ("prol2tp", "prol2tp --r", ["--run-dir"]),
    ("prol2tp", "prol2tp --", ALL_OPTIONS),
    ("prol2tp", "prol2tp reload --", ["--dry-run", *ALL_OPTIONS]),
    ("prol2tp", "prol2tp set log-level ", ["critical", "error", "warning", "notice", "info", "debug"]),
    ("prol2tp", "prol2tp set log-level inf", ["info"]),
    ("prol2tp", "prol2tp set log-level info ", ["tunnel", "session"]),
    ("prol2tp", "prol2tp trace peer 2001:db8::1 us", ["user"]),
    ("prol2tp", "prol2tp nonsense ", []),
    ("prol2tp", "prol2tp show s s", []),
    ("prol2tp", "prol2tp completion ", ["bash", "zsh"]),
    ("prol2tp", "prol2tp show system ", []),
    ("propppctl", "propppctl comp", ["completion"]),
    ("propppctl", "propppctl set log-level d", ["debug"]),
    ("proac_info", "proac_info -", ["-s", "-r", *ALL_OPTIONS]),
    ("proac_info", "proac_info -r lns -", ["-v", *ALL_OPTIONS]),
    ("proac_info", "proac_info close mac 00:11:22:33:44:55 ", []),
    ("proac_info", "proac_info remove ", ["allow", "deny"]),
]


@pytest.mark.parametrize(("tool", "line", "found"), CASES)
def test_bash_offers_what_may_follow(tool, line, found):
    assert bash(tool, line) == found


@pytest.mark.interop("zsh")
@pytest.mark.parametrize(("tool", "line", "found"), CASES)
def test_zsh_offers_what_may_follow(tool, line, found):
    assert sorted(zsh(tool, line)) == sorted(found)


TOOL = r"""prol2tp() { printf '<%s>' "$@" >> "$CALLS"; printf '%s\n' 27774 27775 'two:one' 'two words'; }
command() { "$@"; }
"""


@pytest.mark.parametrize("shell", ["bash", pytest.param("zsh", marks=pytest.mark.interop("zsh"))])
def test_ids_and_names_are_asked_of_the_tool(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    complete = {"bash": bash, "zsh": zsh}[shell]
    assert complete("prol2tp", "prol2tp --run-dir /x --json show tunnel id 2777", TOOL) == ["27774", "27775"]
    assert (tmp_path / "calls").read_text() == "<--run-dir></x><complete><--><show><tunnel><id><2777>"
    words = complete("prol2tp", "prol2tp show tunnel name two:", TOOL)
    # bash takes what stands after the colon
    assert words == (["one"] if shell == "bash" else ["two:one"])
    (quoted,) = complete("prol2tp", "prol2tp show tunnel name 'two ".replace("'", "").rstrip(), TOOL)[1:]
    assert quoted == (r"two\ words" if shell == "bash" else "two words")


def test_bash_offers_files_and_directories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.pcapng").touch()
    (tmp_path / "tree").mkdir()
    assert bash("prol2tp", "prol2tp trace user u into tr") == ["trace.pcapng", "tree"]
    assert bash("prol2tp", "prol2tp --run-dir tr") == ["tree"]


@pytest.mark.interop("zsh")
def test_zsh_offers_files_and_directories_and_says_what_is_wanted():
    assert zsh("prol2tp", "prol2tp trace user u into tr") == ["files"]
    assert zsh("prol2tp", "prol2tp --run-dir tr") == ["directories"]
    assert zsh("prol2tp", "prol2tp trace peer ") == ["hint: IP address of a peer"]


@pytest.mark.parametrize("tool", TOOLS)
def test_every_shell_of_the_choice_has_a_file_that_it_can_read(tool):
    for shell in SHELLS:
        assert file(shell, tool).is_file()
    subprocess.run(["bash", "-n", file("bash", tool)], check=True, timeout=60)


@pytest.mark.interop("zsh")
def test_zsh_finds_the_functions_by_its_search_path(tmp_path):
    done = subprocess.run(["zsh", "-fc", f"""
fpath=({ROOT / 'etc/completion/zsh'} $fpath)
autoload -Uz compinit && compinit -u -d {tmp_path}/dump
print -l $_comps[prol2tp] $_comps[propppctl] $_comps[proac_info]
"""], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["_prol2tp", "_propppctl", "_proac_info"]
