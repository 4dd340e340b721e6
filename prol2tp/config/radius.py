"""The tables of the block `radius` of propppd.conf, and what they cannot say by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from prol2tp.config.parameter import BlockType, Given, row
from prol2tp.config.problems import Problems
from prol2tp.config.types import Boolean, Ip, Number, Password, Seconds, Text

_PORT = Number(0, 65535, "port")


@dataclass(slots=True)
class RadiusServer:
    """A RADIUS server."""

    address: str = row(Ip(), "", "Address of the server.", required=True)
    auth_port: int = row(_PORT, 1812, "UDP port for authentication; 0: the server does none.")
    acct_port: int = row(_PORT, 1813, "UDP port for accounting; 0: the server does none.")
    secret: str = row(Password(), "", "Secret that is shared with the server.", required=True)
    timeout: float = row(Seconds(0.1, 60), 2.0, "Time to the first retransmission; doubles with each.")
    retries: int = row(Number(0, 20, "requests"), 1, "Retransmissions before the next server is asked.")
    priority: int = row(Number(0, 65535), 1, "The server with the lowest is asked first.")
    weight: int = row(Number(1, 65535), 1, "Share of the requests among servers of one priority.")
    realms: tuple[str, ...] = row(
        Text(), (), "Realms of users that it is for; without it all that no server names.", many=True
    )
    require_message_authenticator: bool = row(
        Boolean(), True, "Drop answers about users that have no Message-Authenticator."
    )
    source: str = row(Ip(), "", "Address of ours that requests come from; without it the system's choice.")
    name: str = ""


@dataclass(slots=True)
class Radius:
    """RADIUS, and all its servers by name in the order of the file."""

    nas_identifier: str = row(Text(253), "", "Our name towards the servers; without it hostname of system.")
    servers: dict[str, RadiusServer] = field(default_factory=dict, compare=False)


def radius_of(file: Given, hostname: str, problems: Problems) -> Radius:
    """The record of a file; without servers when it has no block `radius`."""
    given = file.blocks["radius"].get("")
    if given is None:
        return Radius(hostname)
    radius = Radius(**{"nas_identifier": hostname, **given.values})
    for name, one in given.blocks["server"].items():
        server = radius.servers[name] = RadiusServer(name=name, **one.values)
        if server.address and server.source and ip_address(server.address).version != ip_address(server.source).version:
            one.wrong(problems, "source", "source and address are of two versions of IP", "give both of one version")
    return radius


SERVER = BlockType("server", RadiusServer, "A RADIUS server.")
RADIUS = BlockType("radius", Radius, "RADIUS.", named=False, blocks=(SERVER,))
