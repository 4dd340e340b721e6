"""Records from which the golden outputs are made: those of the outputs that operators know."""

from __future__ import annotations

import time
from typing import Any

SETUP = {"bounds": [0.1, 1.0], "counts": [3, 1, 0], "sum": 0.5}


def moment(text: str) -> float:
    """Local time as seconds since 1970, so that the outputs are the same in every time zone."""
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


SYSTEM: dict[str, Any] = {
    "version": "2.0.0",
    "copyright": "(c) Copyright 2004-2019 Katalix Systems Ltd.",
    "listen": ["192.168.211.10:1701"],
    "hostname": "jackdaw",
    "router_id": 3232235848,
    "log_level": "notice",
    "tunnels": 1,
    "sessions": 3,
    "data_path": "user",
    "data_path_notes": ["kernel: not taken, the kernel has no L2TP (module l2tp_netlink)"],
    "tunnels_up": 1,
    "sessions_up": 1,
    "setup": {"tunnels": SETUP, "sessions": SETUP},
    "ends": {"tunnels": {}, "sessions": {"User Request": 2}},
    "started_at": 0.0,
    "config_file": "/etc/prol2tp/prol2tpd.conf",
    "counters": {},
}
TUNNEL_ROW: dict[str, Any] = {
    "tunnel_id": 27774,
    "name": "",
    "origin": "net",
    "state": "ESTABLISHED",
    "state_seconds": 41 * 60 + 50.9,
    "peer": "192.168.211.20:1962",
    "sessions": 3,
}
TUNNEL: dict[str, Any] = {
    **TUNNEL_ROW,
    "state_seconds": 146,
    "local": "192.168.211.25:20142",
    "created_at": moment("2018-11-29 11:56:36"),
    "mode": "LNS",
    "version": 2,
    "encapsulation": "udp",
    "log_level": "info",
    "ns": 4,
    "nr": 10,
    "cwnd": 5,
    "ssthresh": 10,
    "tx_window": 10,
    "profile": "lac1",
    "peer_tunnel_id": 24377,
    "peer_host_name": "lac",
    "peer_vendor_name": "prol2tp 1.8.6 Linux-4.4.0-139-generic (x86_64)",
}
SESSION_ROWS: list[dict[str, Any]] = [
    {
        "tunnel_id": 27774,
        "session_id": session_id,
        "tunnel_name": "",
        "name": "",
        "type": "ppp",
        "origin": "net",
        "state": "ESTABLISHED",
        "state_seconds": 41 * 60 + 49,
        "identifier": user,
        "interface": "",
    }
    for session_id, user in ((34877, "u1@example.com"), (2129, "u3@example.com"), (57634, "u2@example.com"))
]
ETHERNET_ROW: dict[str, Any] = {
    "tunnel_id": 2008991623,
    "session_id": 762631622,
    "tunnel_name": "one",
    "name": "one",
    "type": "eth",
    "origin": "config",
    "state": "ESTABLISHED",
    "state_seconds": 2.4,
    "identifier": "demo-l2tpv3-eth-1",
    "interface": "l2tpeth0",
}
SESSION: dict[str, Any] = {
    **SESSION_ROWS[0],
    "state_seconds": 264,
    "created_at": moment("2018-11-29 11:56:36"),
    "mode": "LNS",
    "call": "incoming",
    "log_level": "info",
    "peer_tunnel_id": 24377,
    "peer_session_id": 42991,
    "profile": "lac",
    "pseudowire_profile": "ppp",
    "ppp_profile": "subscribers",
    "user": "u1@example.com",
    "calling_number": "",
    "called_number": "",
    "send_sequence": False,
    "receive_sequence": False,
    "circuit": None,
    "stats": {
        "tx_packets": 19,
        "tx_octets": 575,
        "tx_errors": 0,
        "rx_packets": 18,
        "rx_octets": 404,
        "rx_errors": 0,
        "rx_out_of_sequence": 0,
        "rx_discards": 0,
    },
}
POOL_ROWS: list[dict[str, Any]] = [
    {
        "name": "pool1",
        "kind": "ip_pool",
        "length": 32,
        "size": 254,
        "used": 253,
        "reserved": 1,
        "free": 0,
        "exhausted": True,
        "failures": 12,
        "next": "pool2",
    },
    {
        "name": "homes",
        "kind": "ipv6_pool",
        "length": 56,
        "size": 65536,
        "used": 265,
        "reserved": 0,
        "free": 65271,
        "exhausted": False,
        "failures": 0,
        "next": "",
    },
]
SERVER_ROWS: list[dict[str, Any]] = [
    {
        "name": "r1",
        "kind": "auth",
        "address": "192.0.2.10:1812",
        "alive": False,
        "state_seconds": 62.25,
        "requests": 120,
        "answers": 118,
        "retransmits": 4,
        "timeouts": 2,
        "in_progress": 0,
        "probes": 7,
        "dropped": 0,
        "round_trips": SETUP,
    },
    {
        "name": "r1",
        "kind": "acct",
        "address": "192.0.2.10:1813",
        "alive": True,
        "state_seconds": 15005.0,
        "requests": 118,
        "answers": 118,
        "retransmits": 0,
        "timeouts": 0,
        "in_progress": 0,
        "probes": 0,
        "dropped": 0,
        "round_trips": SETUP,
    },
]
STATUS: dict[str, Any] = {
    "version": "2.0.0",
    "support": "support@prol2tp.com",
    "license": "unlicensed",
    "ppp": {"instances": 3, "create_requests": 3, "create_failures": 0, "destroy_requests": 0, "destroy_failures": 0},
    "radius": {
        "access_requests": 3,
        "access_accepts": 3,
        "access_rejects": 0,
        "access_challenges": 0,
        "accounting_starts": 3,
        "accounting_stops": 0,
        "accounting_updates": 21,
        "accounting_responses": 24,
        "disconnect_requests": 0,
        "disconnect_responses": 0,
        "retransmits": 0,
        "timeouts": 0,
        "auth_in_progress": 0,
        "accounting_in_progress": 0,
        "coa_requests": 0,
        "coa_responses": 0,
        "dynamic_discards": 0,
    },
    "accounting_queue": None,
    "events": {"created": 3, "destroyed": 0, "up": 3, "down": 0},
    "config": {"updates": 1, "failures": 0},
    "log_level": "notice",
    "started_at": 0.0,
    "config_file": "/etc/prol2tp/propppd.conf",
    "filters": None,
    "rate_limits": None,
    "setup": SETUP,
    "ends": {"User Request": 2},
}
RATES_STATUS = STATUS | {
    "rate_limits": {
        "links": 812, "failures": 3,
        "kernel": "to users by htb and from users by htb on ifb devices, queues: fq_codel",
    },
}
ACCOUNTING_STATUS = STATUS | {
    "accounting_queue": {
        "depth": 1204, "oldest": 83.25, "waiting": 948, "unsaved": 12, "coalesced": 7, "refused": 1,
        "trouble": "database or disk is full",
    },
}


def link_rows(duration: float) -> list[dict[str, Any]]:
    """Three users online."""
    return [
        {
            "name": f"session-{number}",
            "interface": f"ppp{number - 1}",
            "duration": duration,
            "up": True,
            "state": "RUNNING",
            "user": f"u{number}@example.com",
            "id": f"27774/{number}",
        }
        for number in (1, 2, 3)
    ]


def _automaton(want: str, got: str, allow: str, his: str) -> dict[str, Any]:
    return {
        "want": want.split(),
        "got": got.split(),
        "allow": allow.split(),
        "his": his.split(),
        "state": "OPENED",
        "timeout": 3.0,
        "max_configure": 10,
        "max_terminate": 2,
        "retransmits": 10,
        "naks": 0,
        "naks_since_ack": 0,
    }


LINK: dict[str, Any] = {
    "name": "session-1",
    "interface": "ppp0",
    "created_at": moment("2018-11-29 11:56:39"),
    "type": "pppol2tp",
    "profile": "subscribers",
    "user": "u1@example.com",
    "up": True,
    "debug": 7,
    "connect_delay": 1000,
    "state": "RUNNING",
    "connect_seconds": 522.0,
    "mtu": 1500,
    "peer_mru": 1500,
    "mtu_limits": {"profile": 1500, "carrier": 0, "user": 1500, "peer": 1500},
    "run_count": 84,
    "lcp": {
        "echo_interval": 30,
        "echo_failures": 0,
        "next_echo": 18,
        "peer_identification": "",
        "proxied": False,
        **_automaton(
            "pap chap eap asyncmap magic mru pcomp accomp",
            "pap chap asyncmap magic mru pcomp accomp",
            "chap eap asyncmap magic mru pcomp accomp",
            "asyncmap magic pcomp accomp",
        ),
    },
    "ccp": _automaton("bsd deflate", "bsd deflate", "bsd deflate predictor1", "bsd deflate"),
    "ipcp": {
        **_automaton("negaddr reqaddr", "negaddr reqaddr", "negaddr proxyarp", "negaddr"),
        "local": "10.5.1.100",
        "peer": "10.5.1.1",
    },
    "ipv6cp": None,
    "pap": {"timeout": 30, "restart": 3, "our_state": "CLOSED", "peer_state": "CLOSED"},
    "chap": {
        "timeout": 3,
        "rechallenge": 0,
        "local_state": ["lowerup", "started", "done"],
        "transmits": 1,
        "peer_state": ["lowerup"],
    },
    "eap": {
        "local": {"state": "Closed", "requests": 0, "responses": 0, "timeout": 3, "max_requests": 10},
        "peer": {"state": "Closed", "requests": 0, "responses": 0, "timeout": 20, "max_requests": 20},
    },
    "radius": {"status": "AUTH_CHAP_ACK", "accounting_updates": 8},
    "auth": {
        "remote_name": "u1@example.com",
        "config_local": [],
        "config_peer": [],
        "done_local": ["chap"],
        "done_peer": [],
        "proxied": False,
    },
    "pppol2tp": {
        "version": 2,
        "lns": True,
        "tunnel_id": 27774,
        "session_id": 2129,
        "peer_tunnel_id": 24377,
        "peer_session_id": 57566,
    },
    "pppoe": None,
    "tty": None,
    "ipv6": None,
    "network": None,
    "rate": None,
}
PPPOE: dict[str, Any] = {
    "interface": "eth1", "vlan": 0, "service_name": "gold", "ac_name": "bras1", "state": "SESSION", "session_id": 5051,
    "peer_mac": "08:00:27:4E:71:75", "interface_mtu": 1500, "max_payload": 1492, "failures": 0,
    "next_try": 0,
}  # fmt: skip
TTY: dict[str, Any] = {
    "device": "/dev/ttyS0", "speed": 115200, "send_accm": 0x000A0000, "receive_accm": 0, "bad_frames": 3,
    "failures": 1, "next_try": 27.5,
}  # fmt: skip
IPV6: dict[str, Any] = {
    "prefixes": ["2001:db8:1000:2a::/64"],
    "addresses": ["2001:db8:0:1::8"],
    "delegated": ["2001:db8:8000:4200::/56"],
    "leased": ["2001:db8:8000:4200::/56"],
    "dns": ["2620:fe::fe", "2620:fe::9"],
    "routes": [],
    "solicitations": 1,
    "advertisements": 5,
    "dhcpv6_received": 4,
    "dhcpv6_sent": 3,
    "bad": 0,
}
NETWORK_LINK = LINK | {"network": {
    "pool": "pool1", "routes": ["192.0.2.0/24 via 10.5.1.150 metric 5", "2001:db8:9::/48"],
    "filters": ["gold.in", "gold.out"], "table": 10, "vrf": "red",
}}
RATE_LINK = LINK | {"rate": {"up": 20_000_000, "up_by": "path", "down": 1_500_500, "down_by": "tc"}}
MTU_LINK = LINK | {"mtu": 1456, "mtu_limits": {"profile": 1500, "carrier": 1460, "user": 1456, "peer": 1492}}
RATE_DOWN_LINK = LINK | {"rate": {"up": 0, "up_by": "", "down": 64_000, "down_by": "tc"}}

# proacd
ACCESS_STATUS: dict[str, Any] = {
    "version": "2.0.0",
    "ac_name": "lac-1",
    "log_level": "info",
    "started_at": 0.0,
    "config_file": "/etc/prol2tp/proacd.conf",
    "draining": False,
    "routes": 2,
    "routing": {
        "routes_created": 6, "route_create_failures": 0, "license_denials": 0, "routes_deleted": 4,
        "route_delete_failures": 0, "destination_open_failures": 4, "destination_close_failures": 0,
        "source_close_failures": 0, "closed_by_destination": 0, "closed_by_source": 2,
    },
    "pppoe": {
        "padi_received": 4, "invalid_padi_received": 0, "pado_sent": 4, "padr_received": 4,
        "invalid_padr_received": 0, "resent_padr_received": 0, "pads_sent": 4, "padt_received": 2,
        "invalid_padt_received": 0, "padt_sent": 2,
    },
    "l2tp": {"tunnels_opened": 3, "sessions_opened": 2, "sessions_closed": 0, "dns_failures": 0},
    "radius": {"successes": 3, "failures": 0, "dns_failures": 0, "timeouts": 0},
    "pppd": {"started": 0, "terminated": 0, "exit_codes": {}},
    "discards": {"other_vlans": 7, "padi_over_rate": 0},
    "frames_dropped": 12,
    "queue": {"depth": 3, "oldest": 75.0, "waiting": 0, "unsaved": 0, "coalesced": 0, "refused": 0, "trouble": ""},
}  # fmt: skip
_PPPOE_SOURCE: dict[str, Any] = {
    "kind": "pppoe", "interface": "enp0s8", "vlans": [], "peer_mac": "08:00:27:4e:71:75", "session_id": 5051,
    "service_name": "dynamic", "advertised": True, "mtu": 1492, "circuit_id": "", "remote_id": "", "tunnel_id": 0,
    "peer_tunnel_id": 0, "peer_session_id": 0, "tunnel_profile": "", "peer_address": "", "calling_number": "",
    "called_number": "",
}  # fmt: skip
_CALL: dict[str, Any] = {
    "kind": "l2tp", "name": "192.0.2.10", "tunnel_id": 35352, "session_id": 41053, "peer_tunnel_id": 17,
    "peer_session_id": 18, "peer": "192.0.2.10:1701", "version": 2, "ppp_profile": "", "interface": "",
}  # fmt: skip
_OPENED = moment("2026-11-23 14:05:11")
ROUTES: list[dict[str, Any]] = [
    {"number": 13564, "name": "r2", "state": "joined", "created_at": _OPENED, "user": "u1@example.com",
     "source": _PPPOE_SOURCE, "destination": _CALL},
    {"number": 33975, "name": "r1", "state": "joined", "created_at": _OPENED, "user": "",
     "source": _PPPOE_SOURCE | {"session_id": 15932, "service_name": "static", "peer_mac": "08:00:27:64:4a:2b"},
     "destination": _CALL | {"tunnel_id": 64947, "session_id": 32602}},
]  # fmt: skip
OTHER_ROUTES: list[dict[str, Any]] = [
    {"number": 1, "name": "homes", "state": "choosing", "created_at": _OPENED, "user": "",
     "source": _PPPOE_SOURCE | {"vlans": [200, 17], "advertised": False, "circuit_id": "dslam1 atm 1/3:8.35",
                                "calling_number": "08:00:27:64:4A:2B"},
     "destination": None},
    {"number": 2, "name": "homes", "state": "opening", "created_at": _OPENED, "user": "a'b\n",
     "source": _PPPOE_SOURCE, "destination": _CALL | {"tunnel_id": 0, "session_id": 0, "peer": ""}},
    {"number": 3, "name": "local", "state": "joined", "created_at": _OPENED, "user": "u2",
     "source": _PPPOE_SOURCE,
     "destination": _CALL | {"kind": "ppp", "tunnel_id": 0, "session_id": 0, "ppp_profile": "users",
                             "interface": "ppp0"}},
    {"number": 4, "name": "switch", "state": "joined", "created_at": _OPENED, "user": "",
     "source": _PPPOE_SOURCE | {"kind": "l2tp", "interface": "", "peer_mac": "", "service_name": "", "mtu": 0,
                                "tunnel_id": 7, "session_id": 8, "peer_tunnel_id": 9, "peer_session_id": 10,
                                "tunnel_profile": "lacs", "peer_address": "198.51.100.7:1701",
                                "called_number": "0191"},
     "destination": _CALL},
]  # fmt: skip
INTERFACE_ROWS: list[dict[str, Any]] = [
    {"name": "enp0s8", "state": "up", "mac": "08:00:27:4e:71:01", "mtu": 1508, "vlans": ["untagged", "10-19"],
     "services": ["static", "(dynamic)", "*"], "sessions": 2, "max_sessions": 1000,
     "frames_dropped": 12},
    {"name": "enp0s9", "state": "is not there", "mac": "", "mtu": 0, "vlans": ["any"], "services": ["*"], "sessions": 0,
     "max_sessions": 0, "frames_dropped": 0},
]  # fmt: skip
DESTINATION_ROWS: list[dict[str, Any]] = [
    {"name": "192.0.2.10", "state": "up", "seconds": 0.0, "sessions": 2, "opened": 3, "failed": 1, "refused": 0,
     "reason": "the tunnel did not come up"},
    {"name": "lns2.example.net:1702", "state": "locked", "seconds": 41.5, "sessions": 0, "opened": 0, "failed": 4,
     "refused": 1, "reason": ""},
]  # fmt: skip
MAC_ROWS: list[dict[str, Any]] = [
    {"interface": "", "list": "deny", "mac": "08:00:27:64:4a:2b", "origin": "local"},
    {"interface": "enp0s8", "list": "allow", "mac": "08:00:27", "origin": "config"},
]
TRACE_ROWS: list[dict[str, Any]] = [
    {"time": _OPENED + 0.25, "kind": "discovery", "interface": "enp0s8", "mac": "08:00:27:64:4a:2b", "route": "",
     "number": 0, "text": "PADI"},
    {"time": _OPENED + 1.5, "kind": "route", "interface": "enp0s8", "mac": "08:00:27:64:4a:2b", "route": "r1",
     "number": 33975, "text": "created"},
]  # fmt: skip

_SCRIPT = {"there": True, "run": 0, "failed": 0, "timed_out": 0, "running": 0, "waiting": 0, "suspect": False,
           "last_error": ""}
SCRIPTS = {
    "version": "0.1.0", "directory": "/etc/prol2tp", "most": 16, "timeout": 30.0, "running": 1, "waiting": 12,
    "lost": 0,    "connected": ["prol2tpd", "propppd"],
    "scripts": [
        {**_SCRIPT, "script": "tunnel-created", "there": False},
        {**_SCRIPT, "script": "tunnel-up", "run": 3, "failed": 1, "timed_out": 1, "running": 1, "waiting": 12,
         "suspect": True, "last_error": "tunnel-up 7: ended by force after 30 s"},
        {**_SCRIPT, "script": "session-down", "run": 487},
        {**_SCRIPT, "script": "ppp-up", "there": False, "run": 2},
    ],
}

PREVIEW = {
    "total": 3, "drops": 1,
    "changes": [
        {"kind": "tunnel", "name": ["t42"], "action": "changed", "parameters": ["secret"], "effect": "drops",
         "drops": ['tunnel 27774 "t42" with 1 session'],
         "why": "secret cannot change while it is up: it is opened again"},
        {"kind": "tunnel", "name": ["t7"], "action": "changed", "parameters": ["log_level"], "effect": "at once",
         "drops": [], "why": "it stays up"},
        {"kind": "tunnel profile", "name": ["lac"], "action": "added", "parameters": [], "effect": "later", "drops": [],
         "why": ""},
    ],
}

_ENDED = moment("2018-11-29 10:15:08")
END_ROWS = [
    {"ended_at": _ENDED, "created_at": _ENDED - 2508, "seconds_up": 2507.2, "kind": "session", "tunnel_id": 27774,
     "session_id": 34877, "peer_tunnel_id": 64947, "peer_session_id": 32602, "tunnel_name": "", "name": "",
     "profile": "spp0", "pseudowire_profile": "pp0", "type": "ppp", "interface": "ppp0", "user": "u1@example.com",
     "local": "192.168.211.25:1701", "peer": "192.168.211.1:1701", "by": "peer", "result": 1, "error": 0, "message": "",
     "reason": "loss of carrier", "cause": "Lost Carrier", "last_state": "ESTABLISHED", "counters": None},
    {"ended_at": _ENDED - 1, "created_at": _ENDED - 121, "seconds_up": 0.0, "kind": "tunnel", "tunnel_id": 20142,
     "session_id": 0, "peer_tunnel_id": 0, "peer_session_id": 0, "tunnel_name": "lac", "name": "lac", "profile": "",
     "pseudowire_profile": "", "type": "", "interface": "", "user": "", "local": "192.168.211.25:20142",
     "peer": "[2001:db8::1]:1701", "by": "us", "result": 2, "error": 6, "message": "no answer",
     "reason": 'general error, a generic vendor-specific error occurred in the LAC: "no answer"', "cause": "",
     "last_state": "WAITCTLREPLY", "counters": None},
]
_RATES = {"rx_bits": 1_234_567_890, "tx_bits": 310_000_000, "rx_packets": 110_250.4, "tx_packets": 80_000.0}
_FEW = {"rx_bits": 999_600, "tx_bits": 12_340, "rx_packets": 101.5, "tx_packets": 4.0}
TRAFFIC: dict[str, Any] = {
    "traffic": {"age": 1.5, "took": 9.8, "measured": 49_990, **_RATES},
    "tunnels": [
        {"tunnel_id": 27774, "name": "", "peer": "192.168.211.20:1962", "sessions": 3, **_RATES},
        {"tunnel_id": 7, "name": "lac\n7", "peer": "[2001:db8::1]:1701", "sessions": 1, **_FEW}],
    "sessions": [
        {"tunnel_id": 27774, "session_id": 34877, "identifier": "u1@example.com", "interface": "ppp0",
         "peer": "192.168.211.20:1962", **_RATES},
        {"tunnel_id": 7, "session_id": 65535, "identifier": "", "interface": "", "peer": "[2001:db8::1]:1701", **_FEW}],
}
PPP_TRAFFIC: dict[str, Any] = {
    "traffic": {"age": 0.5, "took": 0.1, "measured": 3, **_FEW},
    "links": [
        {"name": "session-1", "type": "pppol2tp", "user": "u1@example.com", "interface": "ppp0",
         "address": "10.5.1.100", **_FEW},
        {"name": "session-2", "type": "pppoe", "user": "", "interface": "", "address": "", **_FEW}],
}
ROUTE_END_ROWS = [
    {"ended_at": _ENDED, "created_at": _ENDED - 2508, "seconds_up": 2507.2, "number": 33975, "name": "r1",
     "user": "u1@example.com", "source": ROUTES[1]["source"], "destination": ROUTES[1]["destination"],
     "by": "destination", "cause": "Idle Timeout", "acct_terminate_cause": 4, "message": "no traffic for too long",
     "last_state": "joined",
     "counters": {"tx_packets": 12, "tx_octets": 4711, "tx_errors": 0, "rx_packets": 10, "rx_octets": 815,
                  "rx_errors": 0, "rx_out_of_sequence": 0, "rx_discards": 0}},
    {"ended_at": _ENDED - 61, "created_at": _ENDED - 90, "seconds_up": 0.0, "number": 1, "name": "homes",
     "user": "", "source": OTHER_ROUTES[0]["source"], "destination": None, "by": "neither",
     "cause": "Service Unavailable", "acct_terminate_cause": 15, "message": "no LNS\ncan be asked now",
     "last_state": "opening", "counters": None},
    {"ended_at": _ENDED - 62, "created_at": _ENDED - 90, "seconds_up": 3.0, "number": 4, "name": "switch",
     "user": "", "source": OTHER_ROUTES[3]["source"], "destination": OTHER_ROUTES[3]["destination"], "by": "source",
     "cause": "Peer Request", "acct_terminate_cause": 1, "message": "closed by the peer", "last_state": "joined",
     "counters": None},
    {"ended_at": _ENDED - 63, "created_at": _ENDED - 90, "seconds_up": 4.0, "number": 3, "name": "local",
     "user": "u2", "source": OTHER_ROUTES[2]["source"], "destination": OTHER_ROUTES[2]["destination"],
     "by": "neither", "cause": "Admin Reset", "acct_terminate_cause": 6, "message": "administrative request",
     "last_state": "joined", "counters": None},
]
LINK_END_ROWS = [
    {"ended_at": _ENDED, "created_at": _ENDED - 2508, "seconds_up": 2507.2, "name": "session-1",
     "type": "pppol2tp", "id": "27774/34877", "profile": "users", "user": "u1@example.com",
     "peer": "192.168.211.1", "interface": "ppp0",
     "address": "10.5.1.100", "delegated": [], "cause": "Peer Dead", "acct_terminate_cause": 2,
     "message": "the peer does not answer echo requests", "last_state": "TERMINATE", "authentication": "AUTH_CHAP_ACK",
     "counters": {"tx_packets": 12, "tx_octets": 4711, "tx_errors": 0, "rx_packets": 10, "rx_octets": 815,
                  "rx_errors": 0, "rx_out_of_sequence": 0, "rx_discards": 0}},
    {"ended_at": _ENDED - 108, "created_at": _ENDED - 109, "seconds_up": 0.0, "name": "session-2", "type": "pppoe",
     "id": "pppoe-1", "profile": "users", "user": "mallory", "peer": "", "interface": "", "address": "",
     "delegated": [], "cause": "Authentication Failed", "acct_terminate_cause": 17, "message": "wrong\npassword",
     "last_state": "AUTHENTICATE", "authentication": "AUTH_PAP_NAK", "counters": None},
]
