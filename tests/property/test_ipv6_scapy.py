"""Our ICMPv6 and DHCPv6 as scapy reads them, and scapy's as we do: a second opinion on every field."""

from __future__ import annotations

from ipaddress import IPv6Address

from scapy.layers import dhcp6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDNSSL,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)

from prol2tp.ipv6 import dhcpv6, icmpv6, packet
from prol2tp.ipv6.dhcpv6 import IA, Item, Message, Status
from prol2tp.ipv6.ra import Advertiser
from prol2tp.ipv6.server import ALL_AGENTS
from tests.ipv6_ends import (
    ADDRESS,
    ADVERTISED,
    CLIENT,
    DUID,
    LEASE,
    OURS,
    PREFIX,
    THEIRS,
    exchange,
    received,
    sent,
    server,
    solicitation,
    texts,
)


def sound(data: bytes) -> IPv6:
    """As scapy reads it; made anew with its own checksums it is the same octets."""
    read = IPv6(data)
    again = IPv6(data)
    del again.plen
    if UDP in again:
        del again[UDP].chksum, again[UDP].len
    else:
        del again.payload.cksum
    assert bytes(again) == data
    return read


def test_scapy_reads_our_advertisement_as_we_meant_it() -> None:
    core = Advertiser(ADVERTISED, OURS, bytes)
    core.open(0.0)
    (output,) = core.outputs()
    read = sound(output.packet)
    assert (read.src, read.dst, read.hlim) == (OURS, "ff02::1", 255)
    advertisement = read[ICMPv6ND_RA]
    assert (advertisement.M, advertisement.O, advertisement.routerlifetime) == (0, 1, 1800)
    prefix = read[ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == ("2001:db8:1:2::", 64, 0, 1)
    assert (prefix.validlifetime, prefix.preferredlifetime) == (7200, 3600)
    assert read[ICMPv6NDOptMTU].mtu == 1460
    assert (read[ICMPv6NDOptRDNSS].dns, read[ICMPv6NDOptRDNSS].lifetime) == (["2001:db8::53"], 1800)
    assert read[ICMPv6NDOptDNSSL].searchlist == ["example.net."]
    assert ICMPv6ND_RS in sound(solicitation())


def test_we_read_the_advertisement_and_solicitation_that_scapy_writes() -> None:
    written = bytes(
        IPv6(src=THEIRS, dst="ff02::1", hlim=255) / ICMPv6ND_RA(M=1, O=0, routerlifetime=77, chlim=9)
        / ICMPv6NDOptPrefixInfo(prefix="2001:db8::", prefixlen=64, L=1, A=0, validlifetime=9, preferredlifetime=8)
        / ICMPv6NDOptMTU(mtu=1400) / ICMPv6NDOptRDNSS(dns=["2001:db8::1", "2001:db8::2"], lifetime=5)
        / ICMPv6NDOptDNSSL(searchlist=["a.example.", "b.example."], lifetime=6)
    )
    seen = packet.read(written)
    kind, code, body = icmpv6.read_message(seen)
    heard = icmpv6.read_advertisement(seen, code, body)
    assert (kind, heard.managed, heard.other, heard.router_lifetime, heard.hop_limit) == (134, True, False, 77, 9)
    assert heard.mtu == 1400
    (prefix,) = heard.prefixes
    assert (prefix.on_link, prefix.autonomous, prefix.valid_lifetime, prefix.preferred_lifetime) == (
        True, False, 9, 8)
    assert heard.dns == ((5, (IPv6Address("2001:db8::1").packed, IPv6Address("2001:db8::2").packed)),)
    assert heard.domains == ((6, ("a.example", "b.example")),)
    asked = bytes(
        IPv6(src=THEIRS, dst="ff02::2", hlim=255) / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:05")
    )
    core = Advertiser(ADVERTISED, OURS, bytes)
    core.open(0.0)
    core.outputs()
    assert core.receive(asked, 1.0)
    (answer,) = core.outputs()
    assert sound(answer.packet).dst == THEIRS


def test_scapy_reads_our_reply_as_we_meant_it() -> None:
    core = server()
    core.receive(sent(Message(dhcpv6.SOLICIT, 0x123456, CLIENT, addresses=(IA(7),), prefixes=(IA(8), IA(9)))), 0.0)
    read = sound(core.outputs()[-1].packet)
    assert (read.src, read.dst, read[UDP].sport, read[UDP].dport) == (OURS, THEIRS, 547, 546)
    assert (read[dhcp6.DHCP6_Advertise].msgtype, read[dhcp6.DHCP6_Advertise].trid) == (2, 0x123456)
    assert bytes(read[dhcp6.DHCP6OptClientId].duid) == CLIENT
    assert bytes(read[dhcp6.DHCP6OptServerId].duid) == DUID
    assert read[dhcp6.DHCP6OptPref].prefval == 255
    address = read[dhcp6.DHCP6OptIA_NA]
    assert (address.iaid, address.T1, address.T2) == (7, 500, 800)
    (leased,) = address.ianaopts
    assert (leased.addr, leased.preflft, leased.validlft) == (ADDRESS, 1000, 2000)
    given = read[dhcp6.DHCP6OptIA_PD]
    (delegated,) = given.iapdopt
    assert (given.iaid, f"{delegated.prefix}/{delegated.plen}") == (8, PREFIX)
    assert (delegated.preflft, delegated.validlft) == (1000, 2000)
    refused = given.payload[dhcp6.DHCP6OptIA_PD]
    assert (refused.iaid, refused.iapdopt[0].statuscode) == (9, dhcpv6.NO_PREFIX_AVAIL)
    assert read[dhcp6.DHCP6OptDNSServers].dnsservers == ["2001:db8::53", "2001:db8::54"]
    assert read[dhcp6.DHCP6OptDNSDomains].dnsdomains == ["example.net.", "corp.example."]


def test_the_server_answers_the_messages_that_scapy_writes() -> None:
    core = server()
    head = IPv6(src=THEIRS, dst="ff02::1:2") / UDP(sport=546, dport=547)
    identity = dhcp6.DHCP6OptClientId(duid=dhcp6.DUID_LL(hwtype=1, lladdr="02:00:00:00:00:01"))
    parts = (
        identity / dhcp6.DHCP6OptElapsedTime(elapsedtime=3) / dhcp6.DHCP6OptOptReq(reqopts=[23, 24])
        / dhcp6.DHCP6OptIA_NA(iaid=1, T1=0, T2=0, ianaopts=[])
        / dhcp6.DHCP6OptIA_PD(iaid=2, T1=0, T2=0, iapdopt=[dhcp6.DHCP6OptIAPrefix(prefix="::", plen=56)])
    )
    core.receive(bytes(head / dhcp6.DHCP6_Solicit(trid=5) / parts / dhcp6.DHCP6OptRapidCommit()), 0.0)
    answer = received(core.outputs()[-1].packet)
    assert (answer.type, answer.transaction_id, answer.client_id) == (dhcpv6.REPLY, 5, CLIENT)
    assert answer.rapid_commit and texts(answer.prefixes[0].items) == [PREFIX]
    core.receive(bytes(head / dhcp6.DHCP6_Rebind(trid=6) / parts), 500.0)
    assert received(core.outputs()[-1].packet).addresses == answer.addresses
    released = dhcp6.DHCP6OptIA_PD(iaid=2, iapdopt=[dhcp6.DHCP6OptIAPrefix(prefix="2001:db8:100::", plen=56)])
    ours = dhcp6.DHCP6OptServerId(duid=DUID)
    core.receive(bytes(head / dhcp6.DHCP6_Release(trid=7) / identity / ours / released), 501.0)
    *changes, last = core.outputs()
    assert len(changes) == 1
    assert received(last.packet).status == Status(0)
    relayed = dhcp6.DHCP6_RelayForward(linkaddr="2001:db8::1", peeraddr=THEIRS) / dhcp6.DHCP6OptRelayMsg(
        message=dhcp6.DHCP6_Solicit(trid=5) / identity)
    core.receive(bytes(head / relayed), 502.0)
    assert core.outputs() == [] and core.counters.relayed == 1


def test_we_read_every_field_that_scapy_writes() -> None:
    item = Item(IPv6Address("2001:db8::5").packed, 128, 1, 2)
    prefix = Item(IPv6Address("2001:db8:5::").packed, 48, 3, 4)
    ours = Message(
        dhcpv6.REQUEST, 0xFEDCBA, CLIENT, DUID, (IA(1, 2, 3, (item,), Status(4, "no")),), (IA(5, 6, 7, (prefix,)),),
        (23, 24), 9, 300, Status(0, "fine"), True, (IPv6Address("2001:db8::53").packed,), ("example.net",), 1200,
    )
    assert dhcpv6.decode(bytes(dhcp6.DHCP6_Request(dhcpv6.encode(ours)))) == ours
    assert exchange(server(LEASE), Message(dhcpv6.SOLICIT, 1, CLIENT))[1].type == dhcpv6.ADVERTISE
    assert packet.read(sent(ours)).destination == ALL_AGENTS
