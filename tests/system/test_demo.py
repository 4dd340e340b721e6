"""tools/demo as a newcomer runs it, with namespaces of its own names."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns import run, wait_until

pytestmark = pytest.mark.root

DEMO = Path(__file__).parent.parent.parent / "tools" / "demo"
NOTES = Path("/run")


@pytest.fixture
def suffix() -> Iterator[str]:
    word = f".t{os.getpid()}"
    yield word
    run([DEMO, "--stop", "--suffix", word], check=False)
    assert not namespaces(word)


def namespaces(suffix: str) -> set[str]:
    return {line.split()[0] for line in run(["ip", "netns", "list"]).stdout.splitlines() if suffix in line}


def demo(suffix: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run([DEMO, "--suffix", suffix, *words], seconds=120, check=check)


def test_the_demo_brings_three_users_up_pings_and_cleans_up(suffix: str) -> None:
    done = demo(suffix)
    for user in ("u1@example.com", "u2@example.com", "u3@example.com"):
        assert user in done.stdout
    assert done.stdout.count("3 of 3 received") == 3
    for command in ("prol2tp show system", "prol2tp show tunnels", "prol2tp show sessions", "propppctl status",
                    "propppctl list", "propppctl show session-"):  # fmt: skip
        assert f"root@lns:~# {command}" in done.stdout
    assert "tunnels: 1, sessions: 3" in done.stdout
    assert "peer host name:             lac" in done.stdout
    assert not namespaces(suffix)


def test_the_demo_tells_all_of_it_as_json(suffix: str) -> None:
    told = json.loads(demo(suffix, "--json", "--users", "5").stdout)
    assert told["ok"] is True
    assert {row["user"] for row in told["users"]} == {f"u{n}@example.com" for n in range(1, 6)}
    assert [ping["received"] for ping in told["pings"].values()] == [3] * 5
    assert told["show"]["prol2tp show system"]["sessions"] == 5


def test_a_kept_demo_is_named_by_the_next_run_and_ended_by_stop(suffix: str) -> None:
    kept = demo(suffix, "--keep")
    assert f"ip netns exec lns{suffix}" in kept.stderr
    assert namespaces(suffix) == {f"lac{suffix}", f"lns{suffix}"}
    second = demo(suffix, check=False)
    assert second.returncode == 1
    assert f"tools/demo --stop --suffix {suffix}" in second.stderr
    assert namespaces(suffix) == {f"lac{suffix}", f"lns{suffix}"}

    demo(suffix, "--stop")
    assert not namespaces(suffix)
    assert not (NOTES / f"prol2tp-demo{suffix}.json").exists()


def test_ctrl_c_cleans_up(suffix: str) -> None:
    process = subprocess.Popen([DEMO, "--suffix", suffix], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait_until(lambda: namespaces(suffix), 20, "namespaces of the demo")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert not namespaces(suffix)


def test_the_demo_fails_when_a_user_cannot_come_up(suffix: str, tmp_path: Path) -> None:
    # the same tool with the client's passwords wrong
    source = DEMO.read_text()
    wrong = source.replace('user_password "pw%(n)d"', 'user_password "no%(n)d"').replace("30 + users / 20", "4")
    assert wrong != source
    copy = tmp_path / "demo"
    copy.write_text(wrong)
    copy.chmod(0o755)
    for module in ("prepare.py", "pseudowire.py", "concentrator.py"):
        (tmp_path / module).symlink_to(DEMO.parent / module)
    done = run([copy, "--suffix", suffix], seconds=60, check=False)
    assert done.returncode == 1
    assert "3 users up: not within" in done.stderr
    assert not namespaces(suffix)


def test_the_demo_of_l2tpv3_carries_ethernet_between_two_bridges(suffix: str) -> None:
    done = demo(suffix, "--l2tpv3")
    assert "3 of 3 received" in done.stdout + done.stderr
    assert "lladdr" in done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.endswith(" demo-l2tpv3-eth-1") and line[0] == "C"]
    assert "     one      one    ETH    UP  00:00:0" in line
    assert not namespaces(suffix)


def test_what_another_demo_cannot_do_is_refused(suffix: str) -> None:
    for words in (("--pppoe", "--l2tpv3"), ("--pppoe", "--users", "5")):
        done = demo(suffix, *words, check=False)
        assert done.returncode == 2 and f"argument {words[1]}: not allowed with argument --pppoe" in done.stderr
    assert not namespaces(suffix)


@pytest.mark.interop("freeradius")
def test_the_demo_of_the_access_concentrator_brings_users_by_both_kinds_of_routes(suffix: str) -> None:
    done = demo(suffix, "--pppoe")
    assert "u1, service static: 3 of 3 echoes of 1492 octets" in done.stdout
    assert "u2, service dynamic: 3 of 3 echoes of 1492 octets" in done.stdout
    assert "u3, service dynamic: 3 of 3 echoes of 1500 octets" in done.stdout
    counters = done.stdout.partition("root@lac:~# proac_info -s")[2]
    for line in ("Routes created: 3", "PADS sent: 3", "Tunnels opened: 2", "Sessions opened: 3",
                 "Successful requests: 2"):
        assert f"    {line}\n" in counters
    routes = re.findall(r"^Route '(\w+)' \d+:$", done.stdout, re.M)
    assert sorted(routes) == ["r1", "r2", "r2"]
    for number in (1, 2, 3):
        assert f"UP u{number}@example.com" in done.stdout
    assert not namespaces(suffix)
