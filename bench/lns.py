"""The LNSs that the benches compare, each on a host of its own behind one way of starting and watching it.

A bench host has three namespaces in a row: `lac` (load), `lns`, and `net` behind it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import daemons  # noqa: E402
from tests.daemons import Suite  # noqa: E402
from tests.kernel import peers as kernel_peers  # noqa: E402
from tests.netns import Namespace, World, cpu_seconds, rss  # noqa: E402
from tests.peers import RADIUS_SECRET, RADIUSD, SIGNED, FreeRADIUS, L2tpns, Xl2tpd, version  # noqa: E402
from tools.prepare import need_venv  # noqa: E402

DEBIAN = Path("/usr/bin/python3")

LNS, LAC, LNS_NET, NET = "10.99.0.1", "10.99.0.2", "10.98.0.1", "10.98.0.2"
POOL = "10.64.0.0/16"
PASSWORD = b"pw"
EVERYBODY = 'DEFAULT Cleartext-Password := "pw"\n    Service-Type = Framed-User,\n    Framed-Protocol = PPP\n'


RADIUS = RADIUSD.replace("    preacct {{", SIGNED + "    preacct {{").replace("servers = 2", "servers = 4")


def name(number: int) -> bytes:
    return b"u%d@example.com" % number


def hosts(world: World) -> tuple[Namespace, Namespace, Namespace]:
    lac, lns, net = (world.namespace(label) for label in ("lac", "lns", "net"))
    world.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"])
    world.cable(lns, net, [f"{LNS_NET}/24"], [f"{NET}/24"], device_one="eth1")
    lns.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    net.run("ip", "route", "add", "default", "via", LNS_NET)
    return lac, lns, net


class LNSUnderTest:
    """`pids`: name of each process that works for a session, the RADIUS server among them."""

    title = ""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}
        self.radius: FreeRADIUS | None = None

    def ask_radius(self, host: Namespace) -> None:
        """A RADIUS server on the LNS's host that knows everybody, and keeps no records."""
        self.radius = FreeRADIUS(host, EVERYBODY, accounting=False, configuration=RADIUS)

    def cpu(self) -> dict[str, float]:
        return {who: cpu_seconds(pid) for who, pid in self.pids.items()}

    def rss(self) -> dict[str, int]:
        return {who: rss(pid) for who, pid in self.pids.items()}


class Ours(LNSUnderTest):
    """prol2tpd, propppd when PPP is on, and the path process that they start. `tunnel`: more lines of the tunnel
    profile; `pseudowire`: type of the sessions, and more lines of their profile."""

    title = "prol2tp"

    def __init__(
        self, host: Namespace, ppp: bool, users: int = 0, interface: str = "shared", radius: bool = False,
        tunnel: str = "", pseudowire: str = "ppp", data_path: str = "auto"
    ) -> None:
        super().__init__()
        attach = '\n    ppp_profile "subscribers"' if ppp else ""
        prol2tpd = f"""
system {{
    hostname "lns"
    listen {LNS}:1701
    log_level warning
    data_path {data_path}
}}
session profile "lac" {{
    pseudowire_type {pseudowire}{attach}
}}
tunnel profile "any" {{
    peer 10.99.0.0/24
    session_profile "lac"
    rx_window_size 64
    {tunnel}
}}
"""
        propppd = f"""
system {{ log_level warning }}
profile "subscribers" {{
    auth true
    auth_methods {"chap; use_radius true" if radius else "pap"}
    local_ip 10.64.255.254
    ip_pool "pool1"
    interface {interface}
    ipv6 false
}}
ip_pool "pool1" {{ prefix {POOL} }}
"""
        if radius:
            self.ask_radius(host)
            propppd += f'radius {{ server "r1" {{ address 127.0.0.1; secret "{RADIUS_SECRET}" }} }}\n'
        elif ppp:
            propppd += "".join(f'user "u{n}@example.com" {{ password "pw" }}\n' for n in range(1, users + 1))
        self.suite = Suite(host, prol2tpd, propppd if ppp else "", patience=300)
        self.pids = {daemon: process.pid for daemon, process in self.suite.processes.items()}
        path = path_process(host, set(self.pids.values()))
        if path:
            self.pids["pathd"] = path
        if self.radius is not None:
            self.pids["freeradius"] = self.radius.process.pid

    def processes(self) -> Sequence[str]:
        return list(self.pids)


def path_process(host: Namespace, others: set[int]) -> int:
    """The data path's process: the one in the namespace whose title says so."""
    for pid in host.pids():
        comm = Path(f"/proc/{pid}/comm").read_text().strip()
        if pid not in others and comm.startswith("prol2tp-path"):
            return pid
    return 0


class ForeignL2tpns(LNSUnderTest):
    title = f"l2tpns {version('l2tpns')}"

    def __init__(self, host: Namespace, ppp: bool, radius: bool = False) -> None:
        super().__init__()
        if ppp:
            self.ask_radius(host)
        self.peer = L2tpns(host, LNS, debug=0, pool=POOL, peer_address="10.64.255.254",
                           authtypes="chap" if radius else "pap", accounting=radius)
        self.peer.wait_ready()
        self.pids = {"l2tpns": self.peer.process.pid}
        if self.radius is not None:
            self.pids["freeradius"] = self.radius.process.pid


class ForeignXl2tpd(LNSUnderTest):
    """Its pppd is replaced by one that ends at once: the cost of starting it is part of its set-up."""

    title = f"xl2tpd {version('xl2tpd')}"

    def __init__(self, host: Namespace) -> None:
        super().__init__()
        self.peer = Xl2tpd(host, LNS, pppd="exit 0")
        self.pids = {"xl2tpd": self.peer.process.pid}


class ForeignPppd(LNSUnderTest):
    """xl2tpd with a pppd for each session, both with the kernel's L2TP and PPP: in a guest."""

    title = f"xl2tpd {version('xl2tpd')}, pppd {version('ppp')}"

    def __init__(self, host: Namespace) -> None:
        super().__init__()
        self.host = host
        options = ["auth", "require-pap", "name lns", "noccp", "novj", "lcp-echo-interval 0", "nolog"]
        self.peer = kernel_peers.Xl2tpd(host, LNS, pool="10.64.0.1-10.64.250.250", options=options,
                                        users=[("*", PASSWORD.decode())], debug=False)  # fmt: skip
        self.pids = {"xl2tpd": self.peer.process.pid}

    def _all(self) -> list[int]:
        return [pid for pid in self.host.pids() if Path(f"/proc/{pid}").exists()]

    def cpu(self) -> dict[str, float]:
        return {"xl2tpd and pppd": sum(cpu_seconds(pid) for pid in self._all())}

    def rss(self) -> dict[str, int]:
        return {"xl2tpd and pppd": sum(rss(pid) for pid in self._all())}


GUEST = os.environ.get("PROL2TP_GUEST", "")


def in_guest(kernel: str, words: Sequence[str]) -> int:
    """This bench again, in a guest with this kernel. What it needs is made here, where that is quick."""
    use_debian_python()
    guest = [ROOT / "tools" / "guest", "-k", kernel, "-t", "3600", sys.executable]
    return subprocess.run([*map(str, guest), *words], check=False).returncode


def use_debian_python() -> None:
    """Let our daemons run with the Python of the system, as those of our package do and as the others beside them are
    the system's: a Python that was built without its optimizations needs a third more."""
    if DEBIAN.exists() and Path("/usr/bin/dpkg").exists() and _of_daemons("sys.base_prefix") != "/usr":
        daemons.BIN = need_venv("eap", "metrics", venv=ROOT / ".venv-debian", python=DEBIAN)


def _of_daemons(expression: str) -> str:
    """An expression in the Python of our daemons."""
    return subprocess.run([daemons.BIN / "python", "-c", f"import platform, sys; print({expression})"],
                          capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())  # fmt: skip
    load = os.getloadavg()[0]
    python = _of_daemons("platform.python_version(), 'of', sys.base_prefix")
    return f"{platform.release()}, {os.cpu_count()} CPUs ({model}), Python {python}, load before {load:.1f}"


def settled(read: Callable[[], float], seconds: float = 5) -> float:
    """The value of a counter once it has stopped growing."""
    last = read()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)
        now = read()
        if now == last:
            break
        last = now
    return last


def table(rows: Sequence[Sequence[object]]) -> str:
    """Columns, the first one to the left and the others to the right."""
    text = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in text) for column in range(len(text[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width)
                  for at, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in text
    )  # fmt: skip


def verdict(what: str, value: float, goal: float, at_least: bool = True, unit: str = "") -> str:
    good = value >= goal if at_least else value <= goal
    sign = ">=" if at_least else "<="
    return f"{'reached' if good else 'MISSED ':7} {what}: {value:.2f}{unit} (goal {sign} {goal:g}{unit})"
