"""propppd as a process, with prol2tpd, prol2tp-pathd and a client host: what the system's network shows."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns import Namespace, Process, World, wait_until

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parent.parent.parent
LNS = """
system { hostname "lns"; listen 10.99.0.1:1701 }
pseudowire profile "ppp" { pseudowire_type ppp; ppp_profile "subscribers" }
session profile "lac" { pseudowire_profile "ppp" }
tunnel profile "lac1" { peer 10.99.0.0/24; session_profile "lac" }
"""
SUBSCRIBERS = """
profile "subscribers" {
    auth true
    local_ip 10.5.1.1
    ip_pool "pool1"
    dns 9.9.9.9
    %s
}
ip_pool "pool1" { range 10.5.1.100-10.5.1.199 }
user "u1@example.com" { password "pw1"; ip 10.5.1.150; routes 10.77.0.0/24 }
user "u2@example.com" { password "pw2" }
"""
LAC = """
system { hostname "lac" }
tunnel "one" {
    peer 10.99.0.1
    session "u1" { pseudowire_type ppp; ppp_profile "client"; user_name "u1@example.com"; user_password "pw1" }
    session "u2" { pseudowire_type ppp; ppp_profile "client"; user_name "u2@example.com"; user_password "pw2" }
}
"""
CLIENT = 'profile "client" { auth false; usepeerdns true }'


class Host:
    """One host with both daemons."""

    def __init__(self, world: World, name: str, addresses: list[str], prol2tpd: str, propppd: str) -> None:
        self.namespace: Namespace = world.namespace(name)
        self.run_dir = world.path(name, "run")
        self.run_dir.mkdir()
        self.files = {"prol2tp": world.file(f"{name}-prol2tpd.conf", prol2tpd),
                      "proppp": world.file(f"{name}-propppd.conf", propppd)}
        self.daemons: dict[str, Process] = {}

    def start(self, plugin: str) -> Process:
        self.daemons[plugin] = self.namespace.spawn(
            Path(sys.executable).with_name("twistd"), "--nodaemon", "--pidfile=", plugin, "-c", self.files[plugin],
            "--run-dir", self.run_dir, "-d", name=f"{self.namespace.name}:{plugin}",
            env={**os.environ, "PYTHONPATH": str(ROOT)})
        return self.daemons[plugin]

    def ppp(self) -> set[str]:
        return {name for name in self.namespace.interfaces() if name.startswith("ppp")}

    def pathd(self) -> int:
        for pid in self.namespace.pids():
            if b"prol2tp.daemons.pathd" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError("no prol2tp-pathd")


class Pair:
    """An LNS and a LAC with two users."""

    def __init__(self, world: World, options: str = "") -> None:
        self.world = world
        self.lns = Host(world, "lns", ["10.99.0.1/24"], LNS, SUBSCRIBERS % options)
        self.lac = Host(world, "lac", ["10.99.0.2/24"], LAC, CLIENT)
        world.cable(self.lns.namespace, self.lac.namespace, ["10.99.0.1/24"], ["10.99.0.2/24"])

    def start(self, *plugins: str) -> None:
        for plugin in plugins:
            for host in (self.lns, self.lac):
                host.start(plugin)

    def online(self, seconds: float = 30) -> None:
        """Both users ping through their own interfaces."""
        lac = self.lac.namespace

        def both() -> bool:
            shown = lac.run("ip", "-br", "-4", "addr").stdout
            found = re.findall(r"(ppp\d+) +UNKNOWN +10\.5\.1\.\d+ peer 10\.5\.1\.1/32", shown)
            return len(found) == 2 and all(
                lac.run("ping", "-n", "-q", "-c", "1", "-W", "1", "-I", name, "10.5.1.1", check=False).returncode == 0
                for name in found)

        wait_until(both, seconds, "both users online", every=0.2)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


@pytest.mark.parametrize(("options", "interfaces"), [("", 2), ("interface shared; interface_name users", 0)])
def test_users_are_online_and_sigterm_leaves_nothing(world, options, interfaces):
    pair = Pair(world, options)
    pair.start("proppp", "prol2tp")
    pair.online()
    lns = pair.lns.namespace
    assert len(pair.lns.ppp()) == interfaces
    assert ("users" in lns.interfaces()) == (interfaces == 0)
    route = lns.run("ip", "route", "show", "10.77.0.0/24").stdout
    assert ("ppp" in route) if interfaces else ("users" in route)
    addresses = lns.run("ip", "-6", "-br", "addr", "show").stdout
    assert all(line.count("fe80::") <= 2 for line in addresses.splitlines()), "no link-local address of the kernel's"
    resolv = [path.read_text() for path in pair.lac.run_dir.glob("resolv-ppp*.conf")]
    assert resolv == ["nameserver 9.9.9.9\n"] * 2
    assert pair.lns.daemons["proppp"].stop() in (0, -signal.SIGTERM)
    assert pair.lac.daemons["proppp"].stop() in (0, -signal.SIGTERM)
    assert pair.lns.namespace.interfaces() == pair.lac.namespace.interfaces() == {"lo", "eth0"}
    assert not list(pair.lac.run_dir.glob("resolv-*"))
    assert lns.run("ip", "route", "show", "10.77.0.0/24").stdout == ""


def test_a_daemon_that_is_started_later_is_waited_for(world):
    pair = Pair(world)
    pair.start("prol2tp")
    pair.lns.daemons["prol2tp"].wait_for("session .* up")
    pair.start("proppp")
    pair.online()


def test_after_a_crash_of_propppd_users_come_online_again(world):
    pair = Pair(world)
    pair.start("proppp", "prol2tp")
    pair.online()
    assert pair.lns.daemons["proppp"].stop(signal.SIGKILL) == -signal.SIGKILL
    pair.lns.start("proppp").wait_for(": up, user", count=2)
    pair.online()
    assert len(pair.lns.ppp()) == 2, "interfaces of the crashed one are gone"


def test_after_a_crash_of_the_data_path_users_come_online_again(world):
    pair = Pair(world)
    pair.start("proppp", "prol2tp")
    pair.online()
    os.kill(pair.lns.pathd(), signal.SIGKILL)
    pair.lns.daemons["proppp"].wait_for("all links end")
    pair.online(60)
    assert len(pair.lns.ppp()) == 2
    assert pair.lns.daemons["proppp"].running() and pair.lns.daemons["prol2tp"].running()


def test_a_bad_file_at_sighup_is_one_clear_line_and_changes_nothing(world):
    pair = Pair(world)
    pair.start("proppp", "prol2tp")
    pair.online()
    daemon = pair.lns.daemons["proppp"]
    pair.lns.files["proppp"].write_text('profile "subscribers" { auht true }\n')
    daemon.popen.send_signal(signal.SIGHUP)
    daemon.wait_for(r"configuration unchanged: .*propppd.conf:1:\d+:.*auht")
    pair.lns.files["proppp"].write_text(SUBSCRIBERS % "mtu 1400")
    daemon.popen.send_signal(signal.SIGHUP)
    daemon.wait_for("configuration read: profile: 1 changed")
    pair.online(1)
