"""The access concentrators that the benches compare: PPPoE on eth1, one LNS behind, which is ours for all of them.

A bench host has three namespaces in a row: `client` (load), `lac`, and `lns` behind it.
"""

from __future__ import annotations

from collections.abc import Callable

from lns import LAC, LNS, RADIUS, LNSUnderTest, path_process
from lns import Ours as OurLNS

from tests.daemons import Suite
from tests.netns import Namespace, World
from tests.peers import RADIUS_SECRET, FreeRADIUS, L2tpns, version

SECRET = "s3cret"
TUNNELLED = f"""\
DEFAULT Cleartext-Password := "pw"
    Tunnel-Type:1 = L2TP,
    Tunnel-Medium-Type:1 = IPv4,
    Tunnel-Server-Endpoint:1 = "{LNS}",
    Tunnel-Password:1 = "{SECRET}",
    Tunnel-Assignment-Id:1 = "lns"
"""
"""What RADIUS knows: all users belong to the one LNS."""


def hosts(world: World) -> tuple[Namespace, Namespace, Namespace]:
    client, lac, lns = (world.namespace(label) for label in ("client", "lac", "lns"))
    world.cable(lac, lns, [f"{LAC}/24"], [f"{LNS}/24"], mtu=1600)
    world.cable(client, lac, [], [], device_two="eth1")
    return client, lac, lns


def lns_for(host: Namespace, users: int, ppp: bool = True) -> OurLNS:
    """Ours, where so many users are known; without `ppp` it takes calls, and what comes in them is dropped."""
    return OurLNS(host, ppp, users, tunnel=f'secret "{SECRET}"; auth_mode challenge')


class LACUnderTest(LNSUnderTest):
    """`padi()`: PADIs that it has received and PADOs that it has sent, where it counts them."""

    def padi(self) -> tuple[int, int] | None:
        return None


class Ours(LACUnderTest):
    """proacd, prol2tpd and the path process. `radius`: the route is chosen by RADIUS instead of by the file;
    `interface`: statements of the block of the interface."""

    title = "prol2tp"

    def __init__(self, host: Namespace, radius: bool = False, interface: str = "") -> None:
        super().__init__()
        profile = ""
        destination = f'l2tp {{ peer {LNS} secret "{SECRET}" }}'
        if radius:
            self.radius = FreeRADIUS(host, TUNNELLED, accounting=False, configuration=RADIUS)
            destination = 'radius { profile "aaa" }'
            profile = f'profile radius "aaa" {{ server 127.0.0.1 secret "{RADIUS_SECRET}" accounting off }}'
        proacd = f"""
system {{ ac_name "lac" log_level notice }}
interface eth1 {{ {interface} }}
{profile}
route "all" {{ source pppoe {{ interface eth1 }} destination {destination} }}
"""
        prol2tpd = 'system { hostname "lac"; deny_remote_tunnel_creates true; log_level warning }'
        self.suite = Suite(host, prol2tpd, proacd=proacd)
        self.pids = {daemon: process.pid for daemon, process in self.suite.processes.items()}
        path = path_process(host, set(self.pids.values()))
        if path:
            self.pids["pathd"] = path
        if self.radius is not None:
            self.pids["freeradius"] = self.radius.process.pid

    def padi(self) -> tuple[int, int] | None:
        counters = self.suite.json("proac_info", "-s")["pppoe"]
        return counters["padi_received"], counters["pado_sent"]


class ForeignL2tpns(LACUnderTest):
    """l2tpns as PPPoE server. It begins with LCP and CHAP of the host in any case; then RADIUS, which it always has,
    names the tunnel, or without `radius` the file does by the realm."""

    title = f"l2tpns {version('l2tpns')}"

    def __init__(self, host: Namespace, radius: bool = True) -> None:
        super().__init__()
        self.radius = FreeRADIUS(host, TUNNELLED, accounting=False, configuration=RADIUS)
        forward = () if radius else (f"setforward example.com {LNS} 1701 {SECRET}",)
        self.server = L2tpns(host, LAC, authtypes="chap,pap", debug=0, settings=(
            'set pppoe_if_to_bind "eth1"', "set disable_lac_func no", f"set bind_address_remotelns {LAC}",
            "set pppoe_only_equal_svc_name no", *forward))  # fmt: skip
        self.server.wait_ready()
        self.pids = {"l2tpns": self.server.process.pid, "freeradius": self.radius.process.pid}


MAKES: dict[str, Callable[[Namespace], LACUnderTest]] = {"prol2tp": Ours, "l2tpns": ForeignL2tpns}
