"""xl2tpd.conf, options and secrets of pppd become files that our daemons read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from prol2tp.cli import convert as cli
from prol2tp.config import prol2tpd, propppd
from prol2tp.convert import pppd
from prol2tp.convert.source import File, Refused
from prol2tp.convert.xl2tpd import NOTES, OPTIONS, Converted, convert

MAN = Path(__file__).parents[3] / "man/prol2tp-convert.1"
LNS = """
[global]
listen-addr = 192.0.2.1
port = 1702
max retries = 7
debug state = yes
ipsec saref = yes

[lns default]
ip range = 10.5.1.100-199	; users
no ip range = 10.5.1.110
lac = 10.99.0.0 - 10.99.0.255
local ip = 10.5.1.1
require chap = yes
refuse pap = yes
require authentication = yes
name = lns
pppoptfile = /etc/ppp/options.xl2tpd
tunnel rws = 8
tx bps = 1000000
challenge = yes
"""
LAC = """
[lac isp]
lns = lns.example.net
autodial = yes
redial = yes
redial timeout = 5
pppoptfile = /etc/ppp/options.isp
"""
OPTIONS_XL2TPD = """\
require-mschap-v2
ms-dns 9.9.9.9
ms-dns 149.112.112.112
mtu 1400
lcp-echo-failure 4
plugin radius.so
proxyarp # for the LAN
"""
OPTIONS_ISP = """noauth\nname "me@isp"\npassword 'pw # 1'\nusepeerdns\ndefaultroute\n"""
TUNNEL_SECRETS = '* * "t#s" # all\n* lac7 other\n'
USER_SECRETS = '"u1@example.com" lns pw1 *\nu2 * "p w" 10.5.1.150\n* * any\n'


def converted(
    text: str = LNS, *, tunnels: str = TUNNEL_SECRETS, users: str = USER_SECRETS, **options: str
) -> Converted:
    files = {"/etc/ppp/options.xl2tpd": File("options.xl2tpd", OPTIONS_XL2TPD),
             "/etc/ppp/options.isp": File("options.isp", OPTIONS_ISP)}
    files |= {f"/etc/ppp/{name}": File(name, body) for name, body in options.items()}
    return convert(File("xl2tpd.conf", text), files, [File("l2tp-secrets", tunnels)], [File("chap-secrets", users)])


def test_an_lns_keeps_its_peers_addresses_methods_secrets_and_users() -> None:
    result = converted()
    l2tp, ppp = prol2tpd.load(result.prol2tpd, ""), propppd.load(result.propppd, "")
    profile = prol2tpd.match_tunnel_profile(l2tp, "10.99.0.7", "somebody")
    assert profile is not None
    assert (profile.secret, profile.auth_mode) == (b"t#s", "challenge")
    assert (profile.max_retries, profile.rx_window_size) == (7, 8)
    of_lac7 = prol2tpd.match_tunnel_profile(l2tp, "10.99.0.7", "lac7")
    assert of_lac7 is not None and of_lac7.secret == b"other"
    assert prol2tpd.match_tunnel_profile(l2tp, "192.0.2.9", "lac7") is None
    assert profile.session.ppp_profile == "lns" and l2tp.system.log_categories.fsm == "debug"
    links = ppp.profiles["lns"]
    assert (links.auth, links.auth_methods, links.refuse_methods) == (True, ("mschapv2", "chap"), ("pap",))
    assert (links.local_ip, links.mtu, links.lcp_echo_failures, links.proxy_arp) == ("10.5.1.1", 1400, 4, True)
    assert [str(one) for one in ppp.pools["lns"].ranges] == ["10.5.1.100-10.5.1.109", "10.5.1.111-10.5.1.199"]
    assert {name: (user.password, user.ip) for name, user in ppp.users.items()} == {
        "u1@example.com": ("pw1", None), "u2": ("p w", "10.5.1.150")}


def test_a_lac_that_dials_becomes_a_tunnel_with_its_login() -> None:
    result = converted(LAC)
    tunnel = prol2tpd.load(result.prol2tpd, "").tunnels["isp"]
    session = tunnel.sessions["isp"]
    assert (str(tunnel.peer), tunnel.persist, tunnel.secret) == ("lns.example.net:1701", True, b"t#s")
    assert (session.user_name, session.user_password, session.ppp_profile) == ("me@isp", "pw # 1", "isp")
    links = propppd.load(result.propppd, "").profiles["isp"]
    assert (links.auth, links.default_route, links.usepeerdns) == (False, True, True)


def test_a_lac_that_is_dialled_by_hand_becomes_profiles_and_the_commands() -> None:
    result = converted(LAC.replace("autodial = yes", "autodial = no"))
    config = prol2tpd.load(result.prol2tpd, "")
    assert not config.tunnels and config.tunnel_profiles["isp"].session_profile == "isp"
    assert "create tunnel name isp peer lns.example.net tunnel_profile isp" in result.prol2tpd.replace("\n#", "")
    tunnel = prol2tpd.create_tunnel(config, "isp", {"peer": "192.0.2.1", "tunnel_profile": "isp"})
    assert prol2tpd.create_session(config, tunnel, "isp", {}).user_name == "me@isp"


def test_what_has_no_counterpart_is_a_comment_with_its_place() -> None:
    result = converted()
    places = [note.partition(": ")[0] for note in result.notes]
    assert places == ["xl2tpd.conf:7", "chap-secrets:3", "options.xl2tpd:6"]
    for note, text in zip(result.notes, (result.prol2tpd, result.propppd, result.propppd), strict=True):
        assert note in re.sub(r"\n +#", "", text)


@pytest.mark.parametrize("name", NOTES)
def test_every_option_without_a_counterpart_says_what_to_do(name: str) -> None:
    kind = OPTIONS[name][0]
    base = {"global": f"[global]\n{name} = 3\n[lns a]\n", "lns": f"[lns a]\n{name} = 3\n",
            "lac": f"[lac a]\nlns = b\n{name} = 3\n"}[kind]
    result = converted(base)
    assert any(note.endswith(f"{name} = 3: {NOTES[name]}") for note in result.notes)


@pytest.mark.parametrize("word", pppd.MEANINGS)
def test_every_word_of_pppd_without_a_counterpart_takes_its_values_and_says_what_to_do(word: str) -> None:
    count, meaning = pppd.MEANINGS[word]
    text = " ".join([word, *["x"] * count, "mtu 1234"])
    result = converted("[lns a]\npppoptfile = /etc/ppp/one\n", one=text)
    assert any(meaning in note for note in result.notes)
    assert propppd.load(result.propppd, "").profiles["a"].mtu == 1234


def test_a_section_serves_its_addresses_and_the_later_of_two_the_peers_of_both() -> None:
    text = "[global]\naccess control = yes\n[lns a]\nlac = 10.0.0.0 - 10.0.0.7\n[lns b]\nlac = 10.0.0.4-5\n[lns c]\n"
    config = prol2tpd.load(converted(text).prol2tpd, "")
    served = [prol2tpd.match_tunnel_profile(config, f"10.0.0.{n}", "") for n in (3, 4, 5, 6, 8)]
    assert [one.name if one else "" for one in served] == ["a", "b", "b", "a", ""]
    config = prol2tpd.load(converted(text.replace("control = yes", "control = no")).prol2tpd, "")
    assert prol2tpd.match_tunnel_profile(config, "10.0.0.4", "") is not None
    assert prol2tpd.match_tunnel_profile(config, "192.0.2.1", "") is None


def test_users_have_to_prove_who_they_are_unless_it_is_said_that_they_need_not() -> None:
    assert propppd.load(converted("[lns a]\n").propppd, "").profiles["a"].auth
    open_ = converted("[lns a]\nrefuse authentication = yes\n")
    assert not propppd.load(open_.propppd, "").profiles["a"].auth


BROKEN = {
    "[lns a\n": "xl2tpd.conf:1: '[lns a' has no closing bracket; write: [lns NAME]",
    "[gobal]\n": "xl2tpd.conf:1: [gobal] is no section of xl2tpd; write [global], [lns NAME] or [lac NAME]",
    "port = 1\n": "xl2tpd.conf:1: an option before the first section; begin with [global], [lns NAME] or [lac NAME]",
    "[lns a]\nlocal\n": "xl2tpd.conf:2: 'local' is no option; write: name = value",
    "[lns a]\nlocl ip = 10.0.0.1\n": "xl2tpd.conf:2: locl ip is no option of xl2tpd; did you mean local ip?",
    "[lac a]\nlac = 10.0.0.1\n": "xl2tpd.conf:2: lac does not belong to [lac]; it belongs to [lns]",
    "[lns a]\nlac = lac.example\n":
        "xl2tpd.conf:2: lac: 'lac.example' is no IPv4 address; names are not looked up: write it",
    "[lns a]\nip range = 10.0.0.9-10.0.0.1\n":
        "xl2tpd.conf:2: ip range: 10.0.0.9-10.0.0.1 ends before it begins; first - last",
    "[lns a]\nip range = 10.0.0.9\n":
        "xl2tpd.conf:1: [lns a] has an ip range and no local ip; write: local ip = our address towards users",
    "[lns a]\nchallenge = maybe\n": "xl2tpd.conf:2: challenge is 'maybe'; write yes or no",
    "[lns a]\ntunnel rws = 99999\n": "xl2tpd.conf:2: rx_window_size: 99999 is out of range; from 1 to 32768",
    "[lac a]\n": "xl2tpd.conf:1: [lac a] has no lns; write: lns = address",
    "": "there is no [lns] and no [lac] section, so there is nothing to convert",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_gives_one_line(text: str) -> None:
    with pytest.raises(Refused) as caught:
        converted(text)
    assert str(caught.value) == BROKEN[text]


def test_a_challenge_without_a_secret_is_refused_and_not_left_open() -> None:
    with pytest.raises(Refused, match=r"xl2tpd.conf:21: challenge needs a secret"):
        converted(tunnels="")


def test_broken_secrets_and_options_do_not_show_what_is_in_them() -> None:
    for arguments in ({"users": 'u "swordfish\n'}, {"users": "u swordfish\n"}):
        with pytest.raises(Refused) as caught:
            converted(**arguments)
        assert "chap-secrets:1" in str(caught.value) and "swordfish" not in str(caught.value)
    with pytest.raises(Refused, match="one:1: mtu: 7 is out of range"):
        converted("[lns a]\npppoptfile = /etc/ppp/one\n", one="mtu 7")
    with pytest.raises(Refused, match="reads itself"):
        converted("[lns a]\npppoptfile = /etc/ppp/one\n", one="file /etc/ppp/one")


def test_the_tool_reads_what_is_named_and_writes_for_the_owner_alone(tmp_path: Path, capsys) -> None:
    options, l2tp, chap = tmp_path / "options.isp", tmp_path / "l2tp-secrets", tmp_path / "chap-secrets"
    options.write_text(OPTIONS_ISP)
    l2tp.write_text(TUNNEL_SECRETS)
    chap.write_text(USER_SECRETS)
    config = tmp_path / "xl2tpd.conf"
    config.write_text(LAC)
    words = ["xl2tpd", str(config), "--ppp-options", str(options), "--secrets", f"{l2tp},{chap}", "--output",
             str(tmp_path / "new")]
    assert cli.run(words) == cli.DONE
    for name in cli.NAMES:
        assert (tmp_path / "new" / name).stat().st_mode & 0o777 == 0o600
    assert cli.run(words) == cli.FAILED
    assert "is there already" in capsys.readouterr().err
    config.write_text(LAC + "max redials = 3\n")
    assert cli.run([*words, "--force"]) == cli.LOOK
    assert "max redials = 3" in capsys.readouterr().err
    assert cli.run(["xl2tpd", str(tmp_path / "nothing")]) == cli.FAILED
    with pytest.raises(SystemExit) as ended:
        cli.run(["pptpd"])
    assert ended.value.code == cli.USAGE


def test_names_of_files_do_not_reach_the_terminal_as_they_are(tmp_path: Path, capsys) -> None:
    options = tmp_path / "op\x1b[31m"
    options.write_text("mru x\n")
    config = tmp_path / "xl2tpd.conf"
    config.write_text(f"[lns default]\nlocal ip = 10.0.0.1\nip range = 10.0.0.2-10.0.0.9\npppoptfile = {options}\n")
    assert cli.run(["xl2tpd", str(config), "--output", str(tmp_path / "out")]) == cli.FAILED
    said = capsys.readouterr().err
    assert said.startswith("prol2tp-convert: ") and said.count("\n") == 1 and "\x1b" not in said and "mru" in said


def test_the_page_has_all_options_and_statuses_of_the_tool() -> None:
    page = MAN.read_text()
    command = cli.parser()._subparsers._group_actions[0].choices["xl2tpd"]  # type: ignore[union-attr]
    options = {word for action in command._actions for word in action.option_strings if word.startswith("--")}
    assert {f"-{word}" for word in re.findall(r"(?m)^\.It Fl (\S+)", page)} == options | {"--version"}
    assert re.findall(r"(?m)^\.It (\d)$", page) == ["0", "1", "2", "3"]
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", MAN], capture_output=True, text=True, check=False)
    assert done.stdout == ""
