"""EAP of real FreeRADIUS passed through a whole PPP link: MD5, MSCHAPv2, TLS, PEAP and TTLS; and ours beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography import x509

from tests.certificates import Authority
from tests.daemons import Suite
from tests.eap_bridge import Subscriber, eapol_test
from tests.interop.conftest import LAC, LNS
from tests.interop.test_freeradius import CONFIGURATION
from tests.interop.test_radius_users import lac_tunnels, lns_tunnels
from tests.netns import World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "eapoltest", "tshark")]

USERS = """\
u1@example.com Cleartext-Password := "pw1-of-u1"
    Framed-IP-Address = 10.6.0.101,
    Session-Timeout = 3600
"""
INNER = """
server inner-tunnel {{
    authorize {{
        mschap
        eap
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
        eap
    }}
}}
"""


def configuration(authority: Authority, default: str, version: str = "1.2") -> str:
    files = authority.files("radius")
    methods = f"""
        default_eap_type = {default}
        mschapv2 {{{{
        }}}}
        tls-config all {{{{
            private_key_file = {files.key}
            certificate_file = {files.certificate}
            ca_file = {files.ca}
            cipher_list = "DEFAULT"
            ecdh_curve = ""
            tls_min_version = "1.2"
            tls_max_version = "{version}"
            fragment_size = 1024
        }}}}
        tls {{{{
            tls = all
        }}}}
        peap {{{{
            tls = all
            default_eap_type = mschapv2
            virtual_server = inner-tunnel
        }}}}
        ttls {{{{
            tls = all
            default_eap_type = md5
            virtual_server = inner-tunnel
        }}}}
"""
    return CONFIGURATION.replace("        default_eap_type = md5\n", methods) + INNER


def lns_links(extra: str = "", methods: str = "eap") -> str:
    return f"""
profile "subscribers" {{
    auth true
    auth_methods {methods}
    use_radius true
    local_ip 10.6.0.1
    {extra}
}}
radius {{ nas_identifier "lns"; server "r1" {{ address 127.0.0.1; secret "{RADIUS_SECRET}" }} }}
"""


def tls_files(authority: Authority, name: str) -> str:
    files = authority.files(name)
    return f"tls_ca {files.ca}; tls_certificate {files.certificate}; tls_key {files.key}"


def issued(world: World) -> Authority:
    """With certificates of all who take part."""
    made = Authority(world.path("certificates", "ca.pem").parent)
    made.issue("radius", server=True, alternative=[x509.DNSName("radius.example.net")], padding=3000)
    made.issue("lns", server=True)
    made.issue("u1@example.com")
    made.issue("local@example.com")
    return made


@pytest.fixture
def authority(world: World) -> Authority:
    return issued(world)


@pytest.mark.parametrize(
    ("method", "default", "version"),
    [("md5", "md5", "1.2"), ("mschapv2", "md5", "1.2"), ("tls", "tls", "1.2"), ("tls", "md5", "1.3")],
)
def test_users_come_in_by_eap_between_them_and_freeradius(
    world: World, authority: Authority, method: str, default: str, version: str
) -> None:
    host = world.namespaces["lns"]
    FreeRADIUS(host, USERS, configuration=configuration(authority, default, version))
    lns = Suite(host, lns_tunnels(), lns_links(), debug=True)
    users = (("u1", "pw1-of-u1"), ("u2", "pw2-of-u2"))
    client = f'profile "client" {{ auth false; allow_methods eap; eap_allow_methods {method}'
    client += f"; {tls_files(authority, 'u1@example.com')}" * (method == "tls") + " }\n"
    lac = Suite(world.namespaces["lac"], lac_tunnels(*(users if method != "tls" else users[:1])), client, debug=True)
    (row,) = lns.wait_online(1)
    assert row["user"] == "u1@example.com"
    shown = lns.tool("propppctl", "show", str(row["name"]))
    assert "status: AUTH_EAP_ACK" in shown and "peer ip: 10.6.0.101" in shown and "done: local:  eap" in shown
    (theirs,) = lac.wait_online(1)
    world.namespaces["lac"].ping("10.6.0.1", interface=str(theirs["interface"]))
    if method != "tls":
        said = lns.processes["propppd"]
        refused = "user u2@example.com refused: rejected by RADIUS server r1"
        wait_until(lambda: any(refused in line for line in said.lines), 30, "the unknown user is refused")
    counts = lns.json("propppctl", "status")["radius"]
    assert counts["access_challenges"] >= 1 and counts["access_accepts"] == 1
    everything = [line for suite in (lns, lac) for process in suite.processes.values() for line in process.lines]
    shown += lac.tool("propppctl", "show", str(theirs["name"]))
    for secret in (RADIUS_SECRET, "pw1-of-u1", "pw2-of-u2"):
        assert secret not in shown and not any(secret in line for line in everything)


@pytest.fixture
def unseen() -> Iterator[World]:
    """Without a capture: tshark takes the EAP-TLS of two sessions between the same addresses for one."""
    with World() as made:
        made.cable(made.namespace("lac"), made.namespace("lns"), [f"{LAC}/24"], [f"{LNS}/24"])
        yield made


PEAP = """
    eap=PEAP
    identity="u1@example.com"
    anonymous_identity="u1@example.com"
    password="{password}"
    ca_cert="{ca}"
    phase2="auth=MSCHAPV2"
"""
TTLS = """
    eap=TTLS
    identity="u1@example.com"
    anonymous_identity="hidden@example.com"
    password="{password}"
    ca_cert="{ca}"
    phase2="auth=PAP"
"""


def test_methods_that_we_do_not_know_pass_through(unseen: World) -> None:
    world, authority = unseen, issued(unseen)
    host = world.namespaces["lns"]
    inside = "            use_tunneled_reply = yes\n            virtual_server"
    text = configuration(authority, "md5").replace("            virtual_server", inside)
    FreeRADIUS(host, USERS, configuration=text)
    lns = Suite(host, lns_tunnels(), lns_links())
    for network, kind, password in ((PEAP, 25, "pw1-of-u1"), (TTLS, 21, "pw1-of-u1"), (PEAP, 25, "wrong")):
        words = network.format(password=password, ca=authority.path)
        with online(world, "u1@example.com", words, kind) as subscriber:
            if password != "pw1-of-u1":
                assert subscriber.down is not None and not subscriber.networks and not lns.online()
                continue
            assert subscriber.networks["ip"].local == "10.6.0.101"
            (row,) = lns.wait_online(1)
            assert "status: AUTH_EAP_ACK" in lns.tool("propppctl", "show", str(row["name"]))
            lns.tool("propppctl", "destroy", str(row["name"]))
            subscriber.run_to_the_end()
        wait_until(lambda: not lns.links(), 20, "the link has gone")


@contextmanager
def online(world: World, user: str, network: str, kind: int) -> Iterator[Subscriber]:
    """A subscriber with eapol_test's method, up or down."""
    subscriber = Subscriber(world.namespaces["lac"], LNS, user)
    try:
        process = eapol_test(world.namespaces["lac"], network)
        subscriber.run()
        assert bytes((kind,)) in subscriber.eap.seen, process.output[-2000:]
        yield subscriber
    finally:
        subscriber.close()


TLS = """
    eap=TLS
    identity="local@example.com"
    ca_cert="{ca}"
    client_cert="{certificate}"
    private_key="{key}"
    phase1="tls_disable_tlsv1_3={without_3}"
"""
MSCHAPV2 = """
    eap=MSCHAPV2
    identity="local@example.com"
    password="pw-of-local"
"""


CASES = [
    (MSCHAPV2, 26, "u1@example.com", True),
    (MSCHAPV2.replace("MSCHAPV2", "MD5"), 4, "u1@example.com", True),
    (MSCHAPV2.replace("pw-of", "xx-of"), 26, "u1@example.com", False),
    (TLS.replace("{without_3}", "1"), 13, "local@example.com", True),
    (TLS.replace("{without_3}", "0"), 13, "local@example.com", True),
    (TLS.replace("{without_3}", "0"), 13, "u1@example.com", False),
]
"""Networks, the EAP type that has to be seen, whose certificate is shown, and whether that lets the user in."""


def test_wpa_supplicant_comes_in_by_the_methods_that_run_here(unseen: World) -> None:
    world, authority = unseen, issued(unseen)
    methods = f"peer_ip 10.6.0.77; mschap_retries 0; eap_methods tls mschapv2 md5; {tls_files(authority, 'lns')}"
    links = lns_links(methods).replace("use_radius true", "use_radius false")
    lns = Suite(world.namespaces["lns"], lns_tunnels(),
                links + 'user "local@example.com" { password "pw-of-local" }\n')  # fmt: skip
    for network, kind, name, good in CASES:
        files = authority.files(name)
        words = network.format(ca=files.ca, certificate=files.certificate, key=files.key)
        with online(world, "local@example.com", words, kind) as subscriber:
            assert bool(subscriber.networks) == good
            if good:
                (row,) = lns.wait_online(1)
                assert row["user"] == "local@example.com"
                lns.tool("propppctl", "destroy", str(row["name"]))
                subscriber.run_to_the_end()
            else:
                assert subscriber.down is not None and not lns.online()
        wait_until(lambda: not lns.links(), 20, "the link has gone")


def test_local_users_show_their_certificates_to_us_and_all_others_to_freeradius(unseen: World) -> None:
    world, authority = unseen, issued(unseen)
    host = world.namespaces["lns"]
    FreeRADIUS(host, USERS, configuration=configuration(authority, "tls"))
    local = lns_links(f"peer_ip 10.6.0.77; eap_methods tls md5; {tls_files(authority, 'lns')}")
    lns = Suite(host, lns_tunnels(), local + 'user "local@example.com" { certificate "local@example.com" }\n')
    sessions = "".join(
        f'    session "{name}" {{ pseudowire_type ppp; ppp_profile "{name}"; user_name "{name}@example.com" }}\n'
        for name in ("u1", "local")
    )
    profiles = "".join(
        f'profile "{name}" {{ auth false; allow_methods eap; eap_allow_methods tls; '
        f"{tls_files(authority, f'{name}@example.com')} }}\n" for name in ("u1", "local")
    )  # fmt: skip
    Suite(world.namespaces["lac"],
          f'system {{ hostname "lac" }}\ntunnel "one" {{\n    peer {LNS}\n{sessions}}}\n', profiles)  # fmt: skip
    rows = {str(row["user"]): row for row in lns.wait_online(2)}
    assert set(rows) == {"u1@example.com", "local@example.com"}
    assert "AUTH_EAP_ACK" in lns.tool("propppctl", "show", str(rows["u1@example.com"]["name"]))
    assert "AUTH_EAP" not in lns.tool("propppctl", "show", str(rows["local@example.com"]["name"]))
