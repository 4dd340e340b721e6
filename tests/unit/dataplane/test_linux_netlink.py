"""Layouts of what is said to the kernel, against octets written down by hand from its headers."""

from __future__ import annotations

from struct import pack

from prol2tp.dataplane.interface import SessionSpec
from prol2tp.dataplane.linux import genl
from prol2tp.dataplane.linux.channel import fields
from prol2tp.dataplane.linux.codecs import Codecs
from prol2tp.dataplane.linux.sockets import pppoe_address, pppol2tp_address


def test_addresses_of_pppox_have_the_sizes_that_the_kernel_tells_them_apart_by() -> None:
    v4, v6 = ("192.0.2.1", 1701), ("2001:db8::1", 1701, 0, 0)
    ids = (1, 2, 3, 4)
    assert [len(pppol2tp_address(version, peer, ids)) for version in (2, 3) for peer in (v4, v6)] == [38, 50, 46, 58]
    found = pppol2tp_address(2, v4, ids)
    assert found == pack("=HIii", 24, 1, 0, -1) + pack("=H", 2) + b"\x06\xa5\xc0\0\x02\x01" + bytes(8) + \
        pack("=4H", *ids)
    assert pppol2tp_address(3, v6, ids)[14:30] == pack("=4I", *ids)


def test_a_pppoe_session_is_named_by_number_peer_and_interface() -> None:
    found = pppoe_address(7, b"\2\0\0\0\0\1", "eth0")
    assert found == pack("=HI", 24, 0) + b"\0\7" + b"\2\0\0\0\0\1" + b"eth0" + bytes(12)


def test_the_kernels_cookie_is_the_one_that_it_sends() -> None:
    spec = SessionSpec(1, 2, 3, cookie=b"ours", peer_cookie=b"theirs!!", send_sublayer=True, receive_sublayer=True,
                       reorder_timeout=0.25)
    found = fields(spec, pw_type=genl.PW_ETH)
    assert (found["cookie"], found["peer_cookie"]) == (b"theirs!!", b"ours")
    assert (found["l2spec_type"], found["recv_timeout"], found["pw_type"]) == (1, 250, 5)
    assert "cookie" not in fields(SessionSpec(1, 2, 3))


def test_attributes_are_padded_and_read_back() -> None:
    data = genl.attribute(genl.IFNAME, b"l2tpeth0\0") + genl.attribute(genl.CONN_ID, 5)
    assert len(data) == 16 + 8
    assert genl.attributes(data) == {genl.IFNAME: b"l2tpeth0\0", genl.CONN_ID: pack("=I", 5)}
    assert genl.attributes(data + b"\1\0\1\0") == genl.attributes(data)


def test_deletions_are_found_among_the_kernels_notifications() -> None:
    def message(command: int, body: bytes) -> bytes:
        return pack("=IHHII", 20 + len(body), 30, 0, 0, 0) + pack("=BBH", command, 1, 0) + body

    tunnel = genl.attribute(genl.CONN_ID, 5)
    session = tunnel + genl.attribute(genl.SESSION_ID, 6)
    data = message(genl.SESSION_DELETE, session) + message(genl.TUNNEL_CREATE, tunnel) + \
        message(genl.TUNNEL_DELETE, tunnel)
    assert genl.deleted(data) == [(5, 6), (5, 0)]
    assert genl.deleted(b"short") == []


def test_keys_are_not_in_what_is_printed() -> None:
    assert "secret" not in repr(Codecs("mppe", "mppe", b"", b"", b"secret", b"secret"))
