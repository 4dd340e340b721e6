"""Layouts beyond the golden ones."""

import pytest

from prol2tp.cli import format, links, tunnels
from tests.golden import records


@pytest.mark.parametrize(
    ("seconds", "clock", "duration"),
    [
        (0, "00:00:00", "0:00:00"),
        (59.999, "00:00:59", "0:00:59"),
        (3600, "01:00:00", "1:00:00"),
        (360000, "100:00:00", "100:00:00"),
        (-5, "00:00:00", "0:00:00"),
    ],
)
def test_times(seconds, clock, duration):
    assert format.clock(seconds) == clock and format.duration(seconds) == duration


def test_columns_grow_with_long_names_and_stay_aligned():
    rows = [records.TUNNEL_ROW, {**records.TUNNEL_ROW, "name": "a-long-name", "state_seconds": 10**8}]
    heading, first, second = tunnels.tunnels([rows])
    assert second == "N      27774 a-long-name    UP 27777:46:40 192.168.211.20"
    assert heading.index("Peer") == first.index("192.") == second.index("192.")


def test_pages_are_printed_as_they_come():
    taken = []

    def pages():
        for number in range(3):
            taken.append(number)
            yield [{**records.TUNNEL_ROW, "name": "n" * (4 + number)}]

    lines = tunnels.tunnels(pages())
    assert next(lines).split() == ["TunId", "Name", "State", "Time", "Peer"] and taken == [0]
    widths = [line.index("192.") for line in lines]
    assert widths == [34, 35, 36] and taken == [0, 1, 2]


def test_a_list_without_rows_has_its_heading():
    assert (
        list(tunnels.sessions([]))
        == list(tunnels.sessions([[]]))
        == ["       TunId     SessId TunName SessName   Type State      Time Identifier"]
    )


def test_calls_of_the_access_concentrator_have_a_flag_of_their_own():
    row = {**records.SESSION_ROWS[0], "origin": "proacd"}
    assert list(tunnels.sessions([[row]]))[1].startswith("A ")


def test_states_other_than_established_are_down_and_flags_tell_the_origin():
    row = {**records.SESSION_ROWS[0], "state": "WAITREPLY", "origin": "local", "identifier": ""}
    line = list(tunnels.sessions([[row]]))[1]
    assert line.startswith("L ") and " DOWN " in line and line.endswith(" -")


def test_ipv6_peers_are_shown_without_port_in_lists():
    line = list(tunnels.tunnels([[{**records.TUNNEL_ROW, "peer": "[2001:db8::1]:1701"}]]))[1]
    assert line.endswith(" 2001:db8::1")


def test_names_are_shown_where_there_are_some():
    lines = tunnels.tunnel({**records.TUNNEL, "name": "one"})
    assert lines[1] == "  tunnel name:                one"
    lines = tunnels.session({**records.SESSION, "name": "u1", "tunnel_name": "one", "stats": None})
    assert lines[1:3] == ["  tunnel name:                one", "  session name:               u1"]
    assert not any("data tx" in line for line in lines)


def test_missing_text_is_a_dash_in_details():
    lines = tunnels.tunnel({**records.TUNNEL, "profile": "", "peer_host_name": ""})
    assert "  tunnel profile name:        -" in lines and "  peer host name:             -" in lines


def test_a_peer_cannot_forge_lines_or_move_the_cursor():
    lines = tunnels.tunnel({**records.TUNNEL, "peer_host_name": "lac\nTunnel 1\x1b[2J\x9b"})
    assert "  peer host name:             lac\\x0aTunnel 1\\x1b[2J\\x9b" in lines
    rows = [{**records.SESSION_ROWS[0], "identifier": "u\r\n"}]
    assert list(tunnels.sessions([rows]))[1].endswith("u\\x0d\\x0a")


def test_several_listening_addresses_have_a_line_each_and_no_router_id_has_none():
    lines = tunnels.system({**records.SYSTEM, "listen": ["1.2.3.4:1701", "[::]:1701"], "router_id": None})
    assert lines[4:7] == ["  listening on: 1.2.3.4:1701", "  listening on: [::]:1701", "  hostname: jackdaw"]


def test_ipv6cp_stands_after_ipcp_and_absent_protocols_have_no_section():
    record = {
        **records.LINK,
        "ccp": None,
        "eap": None,
        "radius": None,
        "pppol2tp": None,
        "ipv6cp": {**records.LINK["ipcp"], "local": "fe80::1", "peer": ""},
    }
    lines = links.link(record)
    assert [line for line in lines if line[1] != " "] == [" lcp:", " ipcp:", " ipv6cp:", " pap:", " chap:", " auth:"]
    assert "  local ip: fe80::1" in lines and "  peer ip: -" in lines


def test_what_carries_a_link_is_its_last_section():
    record = {**records.LINK, "pppol2tp": None}
    pppoe = links.link({**record, "type": "pppoe", "pppoe": records.PPPOE})
    assert "  type: PPPoE" in pppoe
    assert pppoe[pppoe.index(" pppoe:"):] == [
        " pppoe:",
        "  interface: eth1",
        "  service name: 'gold', ac name: 'bras1'",
        "  state: SESSION",
        "  session id: 5051, peer mac: 08:00:27:4E:71:75",
        "  interface mtu: 1500, max payload: 1492",
        "  failures: 0, next try: 0",
    ]
    tagged = links.link({**record, "pppoe": {**records.PPPOE, "vlan": 7, "peer_mac": ""}})
    assert "  interface: eth1, vlan: 7" in tagged and "  session id: 5051, peer mac: -" in tagged
    tty = links.link({**record, "type": "tty", "tty": records.TTY})
    assert "  type: tty" in tty
    assert tty[tty.index(" tty:"):] == [
        " tty:",
        "  device: /dev/ttyS0, speed: 115200",
        "  send asyncmap: 000a0000, receive asyncmap: 00000000",
        "  bad frames: 3",
        "  failures: 1, next try: 27",
    ]


def test_option_lists_that_are_empty_leave_no_blank_at_the_end():
    lines = links.link({**records.LINK, "ipcp": {**records.LINK["ipcp"], "want": []}})
    assert "  want:" in lines


def test_what_we_give_by_ipv6_stands_at_the_end():
    lines = links.link({**records.LINK, "ipv6": records.IPV6})
    assert lines[lines.index(" ipv6:"):] == [
        " ipv6:",
        "  prefixes: 2001:db8:1000:2a::/64",
        "  addresses: 2001:db8:0:1::8",
        "  delegated: 2001:db8:8000:4200::/56",
        "  leased: 2001:db8:8000:4200::/56",
        "  dns: 2620:fe::fe 2620:fe::9",
        "  router advertisements: 5, solicitations: 1",
        "  dhcpv6 received: 4, sent: 3",
        "  bad packets: 0",
    ]
    assert "  leased: -" in links.link({**records.LINK, "ipv6": {**records.IPV6, "leased": []}})
