"""The tables of the block `radius` of propppd.conf, and what they cannot say by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from prol2tp.config.dynamic import DYNAMIC, DynamicAuthorization, dynamic_of
from prol2tp.config.network import Device
from prol2tp.config.parameter import BlockType, Given, row
from prol2tp.config.problems import Problems
from prol2tp.config.types import Address, Boolean, Host, Ip, Number, Password, Seconds, Text

_PORT = Number(0, 65535, "port")


@dataclass(slots=True)
class RadiusServer:
    """A RADIUS server."""

    address: str = row(Host(), "", "Address of the server, or its name.", required=True)
    auth_port: int = row(_PORT, 1812, "UDP port for authentication; 0: the server does none.")
    acct_port: int = row(_PORT, 1813, "UDP port for accounting; 0: the server does none.")
    secret: str = row(Password(), "", "Secret that is shared with the server.", required=True)
    timeout: float = row(Seconds(0.1, 60), 2.0, "Time to the first retransmission; doubles with each.")
    max_timeout: float = row(Seconds(0.1, 600), 16.0, "Longest time between two retransmissions.")
    retries: int = row(Number(0, 20, "requests"), 1, "Retransmissions before the next server is asked.")
    priority: int = row(Number(0, 65535), 1, "The server with the lowest is asked first.")
    weight: int = row(Number(1, 65535), 1, "Share of the requests among servers of one priority.")
    realms: tuple[str, ...] = row(
        Text(), (), "Realms of users that it is for; without it all that no server names.", many=True
    )
    require_message_authenticator: bool = row(
        Boolean(), True, "Drop answers about users that have no Message-Authenticator."
    )
    status_server: bool = row(
        Boolean(), True, "Find out by Status-Server (RFC 5997) whether a server that was dead answers again."
    )
    status_interval: float = row(Seconds(0.1, 3600), 10.0, "Time between two Status-Server to a dead server.")
    dead_time: float = row(
        Seconds(0, 86400), 60.0, "Time after which a dead server is asked again when status_server is false."
    )
    sockets: int = row(
        Number(1, 64, "sockets"), 8, "Most sockets for each of its ports, with 256 requests under way on each."
    )
    source: str = row(Ip(), "", "Address of ours that requests come from; without it the system's choice.")
    device: str = row(Device(), "", "VRF or interface that requests go through; without it the system's choice.")
    name: str = ""

    @property
    def is_name(self) -> bool:
        """The address has to be resolved first."""
        return Address(self.address, 0).is_name


@dataclass(slots=True)
class Radius:
    """RADIUS, and all its servers by name in the order of the file."""

    nas_identifier: str = row(Text(253), "", "Our name towards the servers; without it hostname of system.")
    nas_ip_address: str = row(Ip(4), "", "Our IPv4 address towards the servers (NAS-IP-Address).")
    nas_ipv6_address: str = row(Ip(6), "", "Our IPv6 address towards the servers (NAS-IPv6-Address).")
    request_timeout: float = row(
        Seconds(1, 3600), 30.0, "Longest time that a request lasts, over all its servers; then it has failed."
    )
    max_requests: int = row(
        Number(1, 65536, "requests"), 512, "Requests under way at a time: logins, and as many accounting records."
    )
    max_waiting: int = row(
        Number(0, 1_000_000, "requests"), 20_000, "Requests that wait for their turn; more are refused."
    )
    interim_interval: float = row(
        Seconds(0, 86400), 0.0, "Time between Interim-Updates where neither profile nor server says one; 0: none."
    )
    resolve_interval: float = row(
        Seconds(1, 86400), 300.0, "Time after which the names of servers are resolved again."
    )
    servers: dict[str, RadiusServer] = field(default_factory=dict, compare=False)
    dynamic: DynamicAuthorization | None = field(default=None, compare=False)
    """None: nobody is listened to."""

    @property
    def accounts(self) -> bool:
        """There is a server for accounting."""
        return any(server.acct_port for server in self.servers.values())


def radius_of(file: Given, hostname: str, problems: Problems) -> Radius:
    """The record of a file; without servers when it has no block `radius`."""
    given = file.blocks["radius"].get("")
    if given is None:
        return Radius(hostname)
    radius = Radius(**{"nas_identifier": hostname, **given.values})
    radius.servers = servers_of(given, problems)
    radius.dynamic = dynamic_of(given, problems)
    return radius


def servers_of(given: Given, problems: Problems) -> dict[str, RadiusServer]:
    """The servers in a block, by name. One without an address has it as its name."""
    servers: dict[str, RadiusServer] = {}
    for name, one in given.blocks["server"].items():
        server = servers[name] = RadiusServer(name=name, **{"address": name, **one.values})
        named = not server.address or server.is_name
        if server.source and not named and _version(server.source) != _version(server.address):
            one.wrong(problems, "source", "source and address are of two versions of IP", "give both of one version")
        if "max_timeout" in one.values and server.max_timeout < server.timeout:
            one.wrong(problems, "max_timeout", "max_timeout is shorter than timeout", f"at least {server.timeout:g}")
    return servers


def _version(address: str) -> int:
    return ip_address(address).version


SERVER = BlockType("server", RadiusServer, "A RADIUS server.")
RADIUS = BlockType("radius", Radius, "RADIUS.", named=False, blocks=(SERVER, DYNAMIC))
