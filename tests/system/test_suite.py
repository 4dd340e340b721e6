"""The daemons as a user runs them: two hosts on a cable, users online, and what happens when things change or break."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.daemons import BIN, Suite
from tests.netns import World, wait_until

pytestmark = pytest.mark.root

LNS, LAC = "10.99.0.1", "10.99.0.2"
LNS6, LAC6 = "2001:db8:99::1", "2001:db8:99::2"
PPP = 'pseudowire profile "ppp" { pseudowire_type ppp; ppp_profile "subscribers" }\n'
SERVER = """
system {{ hostname "lns"; {listen} {system} }}
session profile "lac" {{ pseudowire_profile "ppp" }}
tunnel profile "lac1" {{ peer any; peer_hostname "lac"; secret "s3cret"; session_profile "lac"; {profile} }}
"""
SUBSCRIBERS = """
profile "subscribers" {{
    auth true
    local_ip 10.5.1.1
    ip_pool "pool1"
    dns 9.9.9.9 149.112.112.112
    {extra}
}}
ip_pool "pool1" {{ range 10.5.1.100-10.5.1.199 }}
user "u1@example.com" {{ password "pw1" }}
user "u2@example.com" {{ password "pw2"; ip 10.5.1.150 }}
user "u3@example.com" {{ password "pw3" }}
"""
CLIENT = 'profile "client" {{ auth false; {extra} }}\n'


def server(listen: str = f"listen {LNS}:1701;", system: str = "", profile: str = "") -> str:
    return PPP + SERVER.format(listen=listen, system=system, profile=profile)


def client(users: int = 2, peer: str = LNS, tunnel: str = "", session: str = "") -> str:
    sessions = "\n".join(
        f'session "u{n}" {{ ppp_profile "client"; user_name "u{n}@example.com"; user_password "pw{n}"; {session} }}'
        for n in range(1, users + 1))
    return f'system {{ hostname "lac" }}\ntunnel "one" {{ peer {peer}\n secret "s3cret"\n {tunnel}\n {sessions} }}\n'


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        lac, lns = made.namespace("lac"), made.namespace("lns")
        made.cable(lac, lns, [f"{LAC}/24", f"{LAC6}/64"], [f"{LNS}/24", f"{LNS6}/64"])
        yield made


def pair(world: World, lns: str, lac: str, subscribers: str = "", clients: str = "") -> tuple[Suite, Suite]:
    ours = Suite(world.namespaces["lns"], lns, SUBSCRIBERS.format(extra=subscribers))
    return ours, Suite(world.namespaces["lac"], lac, CLIENT.format(extra=clients))


def interfaces(world: World, name: str) -> set[str]:
    return {one for one in world.namespaces[name].interfaces() if one.startswith("ppp")}


def test_users_are_online_over_ipv6_and_ping_both_protocols_inside(world: World) -> None:
    lns, lac = pair(world, server(listen=f"listen [{LNS6}]:1701;"), client(peer=f"[{LNS6}]"))
    lns.wait_online(2)
    for row in lac.wait_online(2):
        world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])
    link = lac.json("propppctl", "show", "session-1")
    world.namespaces["lac"].ping(f"{link['ipv6cp']['peer']}%{link['interface']}")
    assert lns.tunnels()[0]["peer"].startswith(f"[{LAC6}]:")


def test_an_outgoing_call_is_placed_by_the_lns_and_answered_by_the_lac(world: World) -> None:
    # the client of the tunnel asks for the call, so it is the LNS of it, and the PPP server
    caller = PPP + f"""
system {{ hostname "lns"; listen {LNS}:1701 }}
tunnel "out" {{ peer {LAC}; secret "s3cret"
    session "x" {{ call outgoing; ppp_profile "subscribers"; called_number "5551234" }} }}
"""
    answerer = """
system { hostname "lac"; listen 10.99.0.2:1701 }
session profile "c" { ppp_profile "client"; user_name "u1@example.com"; user_password "pw1" }
tunnel profile "lns" { peer 10.99.0.0/24; secret "s3cret"; session_profile "c" }
"""
    lns, lac = pair(world, caller, answerer)
    lns.wait_online(1)
    lac.wait_online(1)
    session = lns.sessions()[0]
    shown = lns.json("prol2tp", "show", "session", "id", str(session["session_id"]), "in", "tunnel", "id",
                     str(session["tunnel_id"]))
    assert (shown["call"], shown["mode"], shown["called_number"]) == ("outgoing", "LNS", "5551234")


def test_a_shared_interface_carries_all_users(world: World) -> None:
    lns, lac = pair(world, server(), client(3), subscribers="interface shared; interface_name pppshared")
    lns.wait_online(3)
    for row in lac.wait_online(3):
        world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])
    assert interfaces(world, "lns") == {"pppshared"}
    lac.stop()
    wait_until(lambda: not interfaces(world, "lns"), 15, "the shared interface goes with its last user")


def test_sequencing_is_agreed_and_loses_nothing_on_a_clean_line(world: World) -> None:
    lns, lac = pair(world, server(), client(1, session="sequencing_required true"))
    lns.wait_online(1)
    row = lac.wait_online(1)[0]
    world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])
    one = lns.sessions()[0]
    shown = lns.json("prol2tp", "show", "session", "id", str(one["session_id"]), "in", "tunnel", "id",
                     str(one["tunnel_id"]), "stats")
    assert shown["send_sequence"] and shown["receive_sequence"]
    assert shown["stats"]["rx_out_of_sequence"] == 0 and shown["stats"]["rx_packets"] > 3


def test_a_wrong_password_stays_out_and_costs_nobody_else(world: World) -> None:
    lns, lac = pair(world, server(), client(2).replace('"pw2"', '"wrong"'))
    lns.wait_online(1)
    lac.wait_online(1)
    assert [row["user"] for row in lns.online()] == ["u1@example.com"]


def test_hidden_avps_and_a_reply_port_of_its_own_work(world: World) -> None:
    lns, lac = pair(world, server(profile="hide_avps true; reply_port ephemeral"), client(2, tunnel="hide_avps true"))
    lns.wait_online(2)
    for row in lac.wait_online(2):
        world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])
    assert not lac.tunnels()[0]["peer"].endswith(":1701")


def test_a_wildcard_listener_answers_from_the_address_that_was_asked(world: World) -> None:
    world.namespaces["lns"].address("eth0", "10.99.0.77/24")
    lns, lac = pair(world, server(listen="listen 0.0.0.0:1701;"), client(1, peer="10.99.0.77"))
    lns.wait_online(1)
    row = lac.wait_online(1)[0]
    world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])
    tunnel = lns.json("prol2tp", "show", "tunnel", "id", str(lns.tunnels()[0]["tunnel_id"]))
    assert tunnel["local"] == "10.99.0.77:1701"


def test_several_tunnels_between_the_same_hosts_live_side_by_side(world: World) -> None:
    second = ('tunnel "two" { peer 10.99.0.1; secret "s3cret"\n session "x" { ppp_profile "client"; '
              'user_name "u3@example.com"; user_password "pw3" } }\n')
    lns, lac = pair(world, server(), client(2) + second)
    lns.wait_online(3)
    lac.tool("prol2tp", "destroy", "tunnel", "name", "one")
    wait_until(lambda: len(lns.online()) == 1, 15, "one tunnel's users are gone")
    row = lac.wait_online(1)[0]
    world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])


def test_propppctl_create_puts_ppp_on_a_session_that_has_none(world: World) -> None:
    bare = server().replace('; ppp_profile "subscribers"', "")
    lns, lac = pair(world, bare, client(1))
    row = lns.wait_established(1)[0]
    words = ["pppol2tp", "tunnel-id", str(row["tunnel_id"]), "session-id", str(row["session_id"]),
             "profile", "subscribers", "mru", "1400"]
    assert lns.tool("propppctl", "create", *words).strip() == "session-1"
    online = lns.wait_online(1)[0]
    assert (online["name"], online["user"]) == ("session-1", "u1@example.com")
    world.namespaces["lac"].ping("10.5.1.1", interface=lac.wait_online(1)[0]["interface"])
    assert lac.json("propppctl", "show", "session-1")["peer_mru"] == 1400
    again = lns.host.run(BIN / "propppctl", "--run-dir", lns.run_dir, "create", *words, check=False)
    assert (again.returncode, again.stderr) == (
        1, f"propppctl: session {row['tunnel_id']}/{row['session_id']} has PPP already\n")


def test_sighup_changes_only_what_changed(world: World) -> None:
    lns, lac = pair(world, server(), client(2))
    lns.wait_online(2)
    before = {row["name"]: row["session_id"] for row in lac.sessions()}
    lac.configure("prol2tpd", client(3))
    lac.processes["prol2tpd"].popen.send_signal(signal.SIGHUP)
    lns.wait_online(3)
    after = {row["name"]: row["session_id"] for row in lac.sessions()}
    assert set(after) == {"u1", "u2", "u3"} and before.items() <= after.items()


def test_a_bad_file_at_sighup_changes_nothing_and_is_logged(world: World) -> None:
    lns, lac = pair(world, server(), client(1))
    lns.wait_online(1)
    lac.configure("prol2tpd", client(1) + "tunel {")
    lac.processes["prol2tpd"].popen.send_signal(signal.SIGHUP)
    lac.processes["prol2tpd"].wait_for("configuration unchanged")
    assert len(lac.online()) == 1


def test_sessions_wait_for_propppd_and_are_online_once_it_is_there(world: World) -> None:
    lns = Suite(world.namespaces["lns"], server())
    lac = Suite(world.namespaces["lac"], client(2), CLIENT.format(extra=""))
    lns.wait_established(2)
    lns.configure("propppd", SUBSCRIBERS.format(extra=""))
    lns.start("propppd")
    wait_until((lns.run_dir / "propppd.sock").exists, 30, "propppd's socket")
    lns.wait_online(2)
    lac.wait_online(2)


def test_sessions_end_with_a_reason_when_propppd_does_not_come_in_time(world: World) -> None:
    Suite(world.namespaces["lns"], server(system="propppd_grace_timeout 1;"))
    lac = Suite(world.namespaces["lac"], client(1), CLIENT.format(extra=""))
    lac.processes["prol2tpd"].wait_for("propppd is not running")


def test_a_killed_data_path_ends_the_sessions_and_they_come_back(world: World) -> None:
    lns, lac = pair(world, server(), client(2))
    lns.wait_online(2)
    pathd = [pid for pid in world.namespaces["lns"].pids() if comm(pid) == "prol2tp-pathd"]
    assert len(pathd) == 1
    world.namespaces["lns"].run("kill", "-9", str(pathd[0]))
    wait_until(lambda: [p for p in world.namespaces["lns"].pids() if comm(p) == "prol2tp-pathd" and p != pathd[0]],
               20, "a new data path process")
    lns.wait_online(2, 60)
    for row in lac.wait_online(2):
        world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])


def test_a_killed_prol2tpd_is_started_again_and_the_users_come_back(world: World) -> None:
    lns, lac = pair(world, server(), client(2, tunnel="hello_timeout 2; max_retries 2"))
    lns.wait_online(2)
    lns.processes.pop("prol2tpd").stop(signal.SIGKILL)
    lns.start("prol2tpd")
    answers(lns, "prol2tp", "show", "system")
    lac.processes["prol2tpd"].wait_for("next try")
    lns.wait_online(2, 60)
    for row in lac.wait_online(2):
        world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])


def test_a_killed_propppd_is_started_again_and_the_users_come_back(world: World) -> None:
    lns, lac = pair(world, server(), client(2))
    lns.wait_online(2)
    lns.processes.pop("propppd").stop(signal.SIGKILL)
    lns.start("propppd")
    answers(lns, "propppctl", "status")
    lns.wait_online(2, 60)
    for row in lac.wait_online(2):
        world.namespaces["lac"].ping("10.5.1.1", interface=row["interface"])


def test_sigterm_leaves_no_interface_socket_or_process(world: World) -> None:
    lns, lac = pair(world, server(), client(2))
    lns.wait_online(2)
    lns.stop()
    lac.stop()
    assert not interfaces(world, "lns") and not interfaces(world, "lac")
    for name in ("lns", "lac"):
        # prol2tp-pathd ends by itself after the last daemon
        wait_until(lambda name=name: not world.namespaces[name].pids(), 10, f"no process left in {name}")
    assert not list(lns.run_dir.glob("*.sock"))


def answers(suite: Suite, tool: str, *words: str) -> None:
    """Wait for a daemon that was started again; the socket of its predecessor is still there."""
    command = [str(BIN / tool), "--run-dir", str(suite.run_dir), *words]
    wait_until(lambda: suite.host.run(*command, check=False).returncode == 0, 30, f"{tool} has an answer")


def comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""
