"""The data path as the daemons see it: ports, tunnels, interfaces, and nothing of how the packets move.

A **port** is one PPP or Ethernet channel, whatever carries it (L2TP session, PPPoE session, tty, kernel channel).
Terminating it on an interface, joining it to another port and raw frame input and output are things done to a port.
Every operation returns a Deferred unless it says *at once*. Operations fail with `DataPathError`; nothing of a
failed operation stays. Delete operations never block the caller.

Implementations: `memory.MemoryDataPlane` (tests), `userspace.UserspaceDataPlane` and `linux.plane.KernelDataPlane`
(live in prol2tp-pathd),
`client.PathClient` (in the daemons: speaks records to prol2tp-pathd). All are held to `tests/contract`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zope.interface import Attribute, Interface

Address = tuple[str, int]


class DataPathError(Exception):
    """An operation was refused. `code` is one of the names below; the text says what and why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


NOT_FOUND = "not-found"
IN_USE = "in-use"
UNSUPPORTED = "unsupported"
SYSTEM = "system"  # the operating system refused; the text has its reason
GONE = "gone"  # the data path process went away
INVALID = "invalid"


@dataclass(slots=True)
class Listener:
    """A local L2TP address that this data path receives on. `control` is a descriptor of the daemon's own (close
    it with the listener): SOCK_DGRAM where the kernel splits control from data (a reuseport group with a classic BPF
    selector on the T bit), else a SOCK_SEQPACKET relay (`relay` is True; framing in `net/udp.py`)."""

    id: int
    address: Address
    """As bound: port 0 is replaced by the real one."""
    control: int
    relay: bool = False


@dataclass(slots=True)
class TunnelSpec:
    """An L2TP tunnel whose control connection is far enough to carry data."""

    listener: int
    local: Address
    """The address that the peer sends to (a concrete address even if the listener is a wildcard)."""
    peer: Address
    tunnel_id: int
    peer_tunnel_id: int
    version: int = 2
    ifindex: int = 0
    udp_checksum: bool = True
    tos: int = 0
    """DS field of outer packets; -1: copied from the inner packet."""
    pmtu_discovery: bool = False
    """Outer DF bit."""
    encapsulation: str = "udp"
    """Version 3: 'udp' or 'ip', as the listener's."""


@dataclass(slots=True)
class SessionSpec:
    """A call in a tunnel. Data messages are sent with the L bit clear and the O bit clear, always understood with."""

    tunnel: int
    """Handle from `tunnel_add`."""
    session_id: int
    peer_session_id: int
    pseudowire: str = "ppp"
    """'ppp', in version 3 also 'eth' and 'vlan': ports of Ethernet frames, whose interface is a TAP."""
    send_sequence: bool = False
    receive_sequence: bool = False
    """Drop late or doubled packets that carry Ns."""
    reorder_timeout: float = 0.0
    lns: bool = False
    """Version 2: as LNS we never follow the peer in turning sequencing on or off; as LAC we do (RFC 2661 section 5.4).
    """
    vlan: int = 0
    """Pseudowire 'vlan': the VLAN ID of our side; 0: any."""
    cookie: bytes = field(default=b"", repr=False)
    """Version 3, as all that follows: what the peer puts before its frames, 0, 4 or 8 octets."""
    peer_cookie: bytes = field(default=b"", repr=False)
    receive_sublayer: bool = False
    """The peer's frames have the Default L2-Specific Sublayer."""
    send_sublayer: bool = False


@dataclass(slots=True)
class PPPoESpec:
    """A PPPoE session (RFC 2516 section 6), whichever end we are. Its frames carry no FF 03."""

    ethernet: int
    """Handle from `ethernet_add`."""
    peer: bytes
    """MAC address."""
    session_id: int
    vlans: tuple[tuple[int, int], ...] = ()
    """(TPID, TCI) of each tag of our frames, outer first; frames of the peer are known by the VLAN ids."""


@dataclass(slots=True)
class TtySpec:
    """A serial line, or another tty, with frames of RFC 1662. Until `port_modify` says otherwise all control
    characters are escaped, and dropped where they stand unescaped."""

    device: str
    speed: int = 0
    """bit/s; 0: left as it is."""
    crtscts: bool = False
    """Flow control by RTS and CTS."""
    xonxoff: bool = False
    """Flow control by XON and XOFF, which then are always escaped, and no part of any frame."""
    modem: bool = True
    """Heed the carrier detect line."""
    escape: bytes = b""
    """Octets that are escaped beside those of the map."""
    mru: int = 1500
    """Largest information field taken."""


@dataclass(slots=True)
class NetifSpec:
    """An interface for a port's IP packets."""

    name: str = "ppp%d"
    """A name, or a pattern with one %d. For mode 'shared' the name of the shared interface, made at first use and
    removed with its last port. For mode 'circuit' an interface of the host, which stays."""
    mode: str = "own"
    """'own': one TUN for this port; 'shared': one TUN for many, inner destination chooses the port by `prefixes`.
    'circuit', for Ethernet ports alone: what comes in by an interface of the host passes, or what is in the port's
    VLAN."""
    mtu: int = 1500
    """Largest packet towards the peer."""
    mru: int = 1500
    protocols: tuple[str, ...] = ()
    """'ip', 'ipv6': what may pass now (the kernel's NPMODE)."""
    prefixes: tuple[str, ...] = ()
    """Addresses and networks behind the port, as text with a length: look-up key in shared mode, source check."""
    source_check: bool = True
    """Drop packets from the peer whose source is outside `prefixes`. IPv6 link-local ones pass on an own
    interface; on a shared one only those in `prefixes`, or one subscriber could speak as another."""
    mss_clamp: bool = True
    """Lower the MSS option of TCP SYNs, both directions, to what `mtu` carries."""
    clear_df: bool = False
    """IPv4: ignore the inner DF bit, so that large packets are fragmented instead of refused."""
    multicast: bool = True
    punt: tuple[str, ...] = ()
    """'ra', 'dhcpv6': Router Solicitations and DHCPv6 to a server go to the port's receiver instead of the interface,
    as the whole PPP frame, whatever `protocols` says. Their source may be link-local too, that of a solicitation
    unspecified. Some at once and ten a second; the rest counts as rx_discards."""


@dataclass(slots=True)
class Netif:
    """An attached interface."""

    name: str
    ifindex: int


COUNTERS = (
    "tx_packets", "tx_octets", "tx_errors",
    "rx_packets", "rx_octets", "rx_errors",
    "rx_out_of_sequence", "rx_discards",
)
"""Order of a port's counters. rx is from the L2TP peer to us, octets are PPP frames without L2TP header. After these
comes `last_activity`: seconds since the last network-layer packet in either direction, -1 if there was none."""


class IPathEvents(Interface):
    """What a data path tells its owner. All calls come on the reactor thread."""

    def frames_lost(port: int, count: int) -> None:
        """Frames for a port's receiver were dropped because nobody took them in time."""

    def peer_moved(tunnel: int, peer: Address) -> None:
        """Valid data came from another address or port than the peer's (NAT)."""

    def netif_gone(port: int, name: str) -> None:
        """Somebody else removed an interface of ours."""

    def carrier_lost(port: int, reason: str) -> None:
        """Nothing passes any more: the tty has hung up, or the Ethernet interface is down or gone. The port stays until
        it is deleted."""

    def decompression_failed(port: int) -> None:
        """A packet of the peer cannot be decompressed (`port_compress`): the next ones cannot either until the peer
        begins its history anew. Said at once, then once a second while it lasts."""

    def stray_frame(ethernet: int, frame: bytes) -> None:
        """A session frame to our address for which there is no port, whole, VLAN tags included. Only to handles that
        want them (`ethernet_add`), and some at once, then fifty a second for each interface."""

    def overload(dropped: int) -> None:
        """Packets were dropped because the path could not keep up; at most once a second."""

    def path_lost(reason: str) -> None:
        """The data path process went away; all ports and tunnels of it are gone."""


class IDataPlane(Interface):
    """A data path. See the module docstring."""

    name = Attribute("'memory', 'user', ... as `data_path` in the configuration and `show system` say")
    instance = Attribute("text that names this very data path: one that begins anew, with other ports, has another")

    codecs = Attribute("tuple of words of `ppp.ccp.CODECS`: what `port_compress` can do; it may be empty")

    notes = Attribute("tuple of sentences (after `start`): what it cannot do, and why another was not taken")

    def start(events: IPathEvents):
        """-> Deferred(None). Must come first."""

    def stop(keep: bool = False):
        """-> Deferred(None). Removes all that this owner made; with `keep` forwarding goes on without the owner."""

    def listen(address: Address, encapsulation: str = "udp"):
        """-> Deferred(Listener). Port 0: an ephemeral port. Encapsulation 'ip': protocol 115, port 0, control messages
        without the four octets of zeros."""

    def unlisten(listener: int):
        """-> Deferred(None). Tunnels on it must be gone."""

    def tunnel_add(spec: TunnelSpec):
        """-> Deferred(int), the tunnel's handle."""

    def tunnel_modify(tunnel: int, peer: Address):
        """-> Deferred(None)."""

    def tunnel_delete(tunnel: int):
        """-> Deferred(None). Its ports go with it."""

    def session_add(spec: SessionSpec):
        """-> Deferred(int), the port. Port ids are never reused within a data path's life (32 bits)."""

    def ethernet_add(interface: str, tagged: bool = False, strays: bool = False):
        """-> Deferred(int), a handle. Take the PPPoE session frames of an interface, with `tagged` also those with VLAN
        tags. From then on the first frames of sessions that are still to be added wait for them. An interface may have
        several handles, each with its own ports. `strays`: the event `stray_frame` is wanted."""

    def ethernet_delete(ethernet: int):
        """-> Deferred(None). Its ports go with it."""

    def pppoe_add(spec: PPPoESpec):
        """-> Deferred(int), the port."""

    def tty_add(spec: TtySpec):
        """-> Deferred(int), the port. `port_delete` closes the device, with its settings as they were."""

    def port_modify(port: int, send_sequence: bool | None = None, receive_sequence: bool | None = None,
                    pcomp: bool | None = None, accomp: bool | None = None, send_accm: int | None = None,
                    receive_accm: int | None = None, rate_up: int | None = None, rate_down: int | None = None):
        """-> Deferred(None). None: as it is. pcomp/accomp: data packets towards the peer may compress protocol/address
        fields. rate_up, rate_down: most bit/s of IP packets from and to the peer, 0: no limit; a quarter of a second's
        worth may come at once. What is above that is dropped, and counts as rx_discards and tx_errors. Control
        frames and those of joined ports pass. Of Ethernet ports rates are refused as `UNSUPPORTED`.
        send_accm, receive_accm: of a tty, which control characters are escaped towards the peer, and which are dropped
        where the peer has not escaped them. What a port has no use for is passed over."""

    def port_delete(port: int):
        """-> Deferred(tuple), the final counters (`COUNTERS` + last_activity). The interface goes with it. The
        counters of a deleted port stay readable by other owners for a while (`counters`)."""

    def port_compress(port: int, send: str = "", receive: str = "", send_option: bytes = b"",
                      receive_option: bytes = b"", send_key: bytes = b"", receive_key: bytes = b""):
        """-> Deferred(None). From now on packets towards the peer are compressed with `send`, what comes with
        `receive`: words of `codecs`, empty for none, with the data of their CCP options; histories begin anew. IP
        packets of the interface and those of `port_send` alike, and where a codec may make a packet longer, the MTU
        towards the peer is so much smaller. Octets are counted as they travel. What is not in `codecs` and any key is
        refused as `UNSUPPORTED`.

        Compressed packets that came since the peer's Configure-Ack, a moment ago at most, are read now. A Reset-Ack of
        the peer resets `receive` by itself before it goes to the receiver, since packets follow on its heels."""

    def port_reset(port: int) -> None:
        """*At once*, in order with `port_send`. The history of what we send begins anew: before a Reset-Ack."""

    def port_receiver(port: int, callback) -> None:
        """*At once.* `callback(frame: bytes)` gets every PPP frame that is not an IP packet of an attached interface:
        LCP, authentication, NCPs, IP before the interface is there, and what is punted (`NetifSpec.punt`). A few early
        frames wait until then. None ends it."""

    def port_send(port: int, frame: bytes) -> None:
        """*At once.* Send a whole PPP frame (with FF 03 or compressed, as given). Dropped if the port is gone."""

    def netif_attach(port: int, spec: NetifSpec):
        """-> Deferred(Netif)."""

    def netif_modify(port: int, protocols: tuple[str, ...] | None = None, prefixes: tuple[str, ...] | None = None,
                     mtu: int | None = None, punt: tuple[str, ...] | None = None):
        """-> Deferred(None). None: as it is."""

    def netif_detach(port: int):
        """-> Deferred(None). The port itself stays."""

    def switch_add(port: int, other: int):
        """-> Deferred(None). All frames of one go out of the other, unread; those that have waited go first. FF 03 is
        put before frames of PPPoE that go on in L2TP, and taken off frames that go on in PPPoE."""

    def switch_delete(port: int):
        """-> Deferred(None)."""

    def counters(ports: list[int] | None = None):
        """-> Deferred(dict[int, tuple]): `COUNTERS` + last_activity of each port, in one exchange. None: all."""
