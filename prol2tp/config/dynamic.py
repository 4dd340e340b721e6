"""The tables of the block `dynamic_authorization` of propppd.conf: who may end and change links from outside."""

from __future__ import annotations

from dataclasses import dataclass, field

from prol2tp.config.network import Device
from prol2tp.config.parameter import BlockType, Given, row
from prol2tp.config.problems import Problems, shown
from prol2tp.config.types import Boolean, Choice, Ip, IPNetwork, Number, Password, Prefix, Seconds


@dataclass(slots=True)
class DynamicClient:
    """Who may send Disconnect-Request and CoA-Request."""

    network: IPNetwork | None = row(
        Prefix(), None, "Address or network that requests come from; the longest that fits counts.", required=True
    )
    secret: str = row(Password(), "", "Secret that is shared with it.", required=True)
    require_message_authenticator: bool = row(
        Boolean(), False, "Drop requests that have no Message-Authenticator."
    )
    require_event_timestamp: bool = row(
        Boolean(), False, "Drop requests that have no Event-Timestamp, which can be replayed."
    )
    name: str = ""


@dataclass(slots=True)
class DynamicAuthorization:
    """Disconnect and CoA (RFC 5176), and all its clients by name."""

    address: tuple[str, ...] = row(
        Ip(), ("0.0.0.0", "::"), "Addresses of ours that requests are sent to.", many=True, most=64
    )
    port: int = row(Number(1, 65535, "port"), 3799, "UDP port that requests are sent to.")
    device: str = row(Device(), "", "VRF or interface that requests come from; without it any.")
    window: float = row(
        Seconds(1, 86400), 300.0, "Difference between a request's Event-Timestamp and our clock that is tolerated."
    )
    several_sessions: str = row(
        Choice(("all", "refuse")), "all", "A request that fits several links is for all of them, or refused."
    )
    clients: dict[str, DynamicClient] = field(default_factory=dict, compare=False, repr=False)


def dynamic_of(radius: Given, problems: Problems) -> DynamicAuthorization | None:
    """The record of the block in `radius`; None when it has none."""
    given = radius.blocks["dynamic_authorization"].get("")
    if given is None:
        return None
    dynamic = DynamicAuthorization(**given.values)
    if len(set(dynamic.address)) < len(dynamic.address):
        given.wrong(problems, "address", "address names one twice", "name each once")
    if not given.blocks["client"]:
        wrong = "dynamic_authorization has no client, so that nobody could ask"
        given.wrong(problems, "client", wrong, 'add: client "name" { network prefix; secret password }')
    known: dict[IPNetwork, str] = {}
    for name, one in given.blocks["client"].items():
        client = dynamic.clients[name] = DynamicClient(name=name, **one.values)
        if client.network is None:
            continue
        other = known.setdefault(client.network, name)
        if other != name:
            wrong = f'network: client "{shown(other)}" has {client.network} too'
            one.wrong(problems, "network", wrong, "one secret for each network")
    return dynamic


CLIENT = BlockType("client", DynamicClient, "Who may send Disconnect-Request and CoA-Request.")
DYNAMIC = BlockType(
    "dynamic_authorization", DynamicAuthorization, "Disconnect and CoA (RFC 5176).", named=False, blocks=(CLIENT,)
)
