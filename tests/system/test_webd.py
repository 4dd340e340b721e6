"""Metrics and the live page of a busy LNS: in headless Chromium, and scraped by a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.lacload import Load, connected
from tests.chromium import Browser
from tests.daemons import BIN, Suite
from tests.interop.test_freeradius import CONFIGURATION
from tests.netns import Process, World, wait_until
from tests.peers import RADIUS_SECRET, FreeRADIUS

pytestmark = [pytest.mark.root, pytest.mark.interop("freeradius", "chromium", "prometheus")]

LNS = "10.99.0.1"
USERS = 'DEFAULT Cleartext-Password := "pw"\n    Service-Type = Framed-User\n'
TUNNELS = f"""
system {{ hostname "lns"; listen {LNS}:1701 }}
session profile "lac" {{ pseudowire_type ppp; ppp_profile "subscribers" }}
tunnel profile "any" {{ peer 10.99.0.0/24; session_profile "lac" }}
"""
LINKS = f"""
profile "subscribers" {{
    auth true; auth_methods chap; use_radius true; local_ip 10.6.0.1; ip_pool "subscribers"; interface shared
    ipv6 false
}}
ip_pool "subscribers" {{ range 10.7.0.1-10.7.0.250 }}
radius {{
    nas_identifier "lns"
    server "r1" {{ address 127.0.0.1; secret "{RADIUS_SECRET}" }}
    server "r2" {{ address 127.0.0.9; secret "{RADIUS_SECRET}"; priority 2 }}
}}
"""
TOKEN = "token-of-the-test-0123456789"
PROMETHEUS = """
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: prol2tp
    authorization: { credentials: "%s" }
    static_configs: [ { targets: [ "127.0.0.1:9721" ] } ]
"""


class Bed:
    """An LNS with sessions, and prol2tp-webd beside it."""

    def __init__(self, world: World) -> None:
        self.host = world.namespace("lns")
        lac = world.namespace("lac")
        world.cable(lac, self.host, ["10.99.0.2/24"], [f"{LNS}/24"])
        self.world = world
        self.radius = FreeRADIUS(self.host, USERS, configuration=CONFIGURATION)
        self.suite = Suite(self.host, TUNNELS, LINKS)
        self.web = self.start()
        self.load = Load([connected(LNS, make=lac.socket)], ppp=True, chap=True, password=b"pw", concurrency=8)
        self.load.open_tunnels()

    def start(self) -> Process:
        token = self.world.file("token", TOKEN + "\n", 0o600)
        process = self.host.spawn(BIN / "twistd", "--nodaemon", "--pidfile=", "prol2tp-web", "--run-dir",
                                  self.suite.run_dir, "--token-file", token, name="lns:webd")
        process.wait_for("serving http://127.0.0.1:9721")
        return process

    def get(self, path: str, *words: str) -> tuple[int, str]:
        """Status and body."""
        done = self.host.run("curl", "-s", "-m", "10", "-w", "\n%{http_code}", *words, f"http://127.0.0.1:9721/{path}")
        body, _, code = done.stdout.rpartition("\n")
        return int(code), body

    def ask(self, path: str) -> dict:
        code, body = self.get(path, "-H", f"Authorization: Bearer {TOKEN}")
        assert code == 200, body + self.web.output
        return json.loads(body)

    def metrics(self, daemon: str = "") -> dict[str, float]:
        code, body = self.get(f"metrics/{daemon}" if daemon else "metrics", "-H", f"Authorization: Bearer {TOKEN}")
        assert code == 200, body
        return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*(?:\{.*\})?) (\S+)$", body, re.M)}


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with World() as world:
        made = Bed(world)
        made.load.make_calls(40)
        rows = made.suite.wait_online(40)
        for row in rows[:7]:
            made.suite.tool("propppctl", "destroy", row["name"])
        made.suite.wait_online(33)
        wait_until(lambda: made.metrics().get('proppp_link_ends_total{cause="Admin Reset"}') == 7, 20, "seven ends")
        yield made
        made.suite.stop()


def test_the_metrics_are_what_the_tools_say(bed: Bed) -> None:
    seen = bed.metrics()
    status = bed.suite.json("propppctl", "status")
    assert seen["prol2tp_tunnels_up"] == 1 and seen["prol2tp_sessions_up"] == len(bed.suite.established())
    assert seen["proppp_links_up"] == len(bed.suite.online()) == 33
    assert seen["prol2tp_session_setup_seconds_count"] == 40 == seen['prol2tp_session_setup_seconds_bucket{le="+Inf"}']
    assert seen["proppp_link_setup_seconds_count"] == 40
    assert seen['proppp_radius_total{what="access_accepts"}'] == status["radius"]["access_accepts"] == 40
    assert seen['proppp_radius_server_round_trip_seconds_count{kind="auth",server="r1"}'] == 40
    assert seen['proppp_pool_size{kind="ip_pool",pool="subscribers"}'] == 250
    assert seen['prol2tp_daemon_up{daemon="prol2tpd"}'] == 1
    assert not any(name.startswith("proppp_") for name in bed.metrics("prol2tpd"))


def test_promtool_finds_nothing_to_say_about_them(bed: Bed) -> None:
    _, body = bed.get("metrics", "-H", f"Authorization: Bearer {TOKEN}")
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_prometheus_server_scrapes_them(bed: Bed) -> None:
    configuration = bed.world.file("prometheus.yml", PROMETHEUS % TOKEN)
    server = bed.host.spawn("prometheus", f"--config.file={configuration}", "--web.listen-address=127.0.0.1:9090",
                            f"--storage.tsdb.path={bed.world.path('tsdb')}")

    def asked() -> list:
        query = "http://127.0.0.1:9090/api/v1/query?query=proppp_links_up"
        done = bed.host.run("curl", "-s", "-m", "5", query, check=False)
        return json.loads(done.stdout)["data"]["result"] if done.stdout.startswith("{") else []

    result = wait_until(asked, 30, "a scrape", every=0.3)
    assert result[0]["value"][1] == "33"
    server.stop()


@pytest.mark.parametrize("path", ["", "page.js", "stream", "metrics", "api/find?user=x", "nothing", "?token=wrong"])
def test_without_the_token_nothing_is_told(bed: Bed, path: str) -> None:
    code, body = bed.get(path)
    assert code == 401 and TOKEN not in body
    assert bed.get(path, "-H", "Authorization: Bearer wrong-token-0000000")[0] == 401
    assert bed.get(path, "-b", "prol2tp=wrong")[0] == 401


def test_a_page_of_the_web_cannot_ask_by_a_name_of_its_own(bed: Bed) -> None:
    assert bed.get("metrics", "-H", f"Authorization: Bearer {TOKEN}", "-H", "Host: evil.example")[0] == 421


def test_the_address_with_the_token_sets_a_cookie_that_scripts_cannot_read(bed: Bed) -> None:
    jar = bed.world.path("cookies")
    code, _ = bed.get(f"?token={TOKEN}", "-c", str(jar))
    assert code == 302 and "#HttpOnly_127.0.0.1" in jar.read_text()
    code, body = bed.get("", "-b", str(jar))
    assert code == 200 and "<title>prol2tp</title>" in body
    assert bed.get("nothing", "-b", str(jar))[0] == 404


def test_a_user_is_found_with_the_path_of_his_session(bed: Bed) -> None:
    row = bed.suite.online()[0]
    assert [one["name"] for one in bed.ask(f"api/find?user={row['user']}")["rows"]] == [row["name"]]
    answer = bed.ask(f"api/link/{row['name']}")
    assert answer["link"]["user"] == row["user"]
    assert f"{answer['session']['tunnel_id']}/{answer['session']['session_id']}" == row["id"]
    assert answer["tunnel"]["tunnel_id"] == answer["session"]["tunnel_id"]
    assert [one["event"] for one in answer["events"]][-1] == "link-up"
    assert bed.get("api/link/session-99999", "-H", f"Authorization: Bearer {TOKEN}")[0] == 404
    assert bed.ask("api/tunnels")["rows"][0]["sessions"] == len(bed.suite.sessions())


@pytest.fixture(scope="module")
def browser(bed: Bed) -> Iterator[Browser]:
    made = Browser(bed.host)
    yield made
    made.close()


def shown(browser: Browser) -> None:
    """The page is there, with what it knows."""
    browser.open(f"http://127.0.0.1:9721/?token={TOKEN}")
    ready = "document.querySelectorAll('.chart svg').length == 3 && document.querySelectorAll('#servers td').length > 0"
    wait_until(lambda: browser.value(ready), 30, "the page", every=0.2)


def text_of(browser: Browser, selector: str) -> str:
    return browser.value(f"document.querySelector({selector!r}).innerText")


def test_the_page_shows_what_there_is(bed: Bed, browser: Browser) -> None:
    shown(browser)
    figures = browser.value(
        "Object.fromEntries([...document.querySelectorAll('#now div')].map("
        "    one => [one.children[0].innerText, one.children[1].innerText]))")
    assert (figures["tunnels up"], figures["sessions up"], figures["PPP links up"]) == ("1", "33", "33")
    assert "r1" in text_of(browser, "#servers") and "subscribers" in text_of(browser, "#pools")
    assert "propppd is up" in browser.value("document.querySelector('#daemons').textContent")


def test_a_drop_appears_on_the_page_as_it_happens(bed: Bed, browser: Browser) -> None:
    shown(browser)
    row = bed.suite.online()[-1]
    bed.suite.tool("propppctl", "destroy", row["name"])
    wait_until(lambda: row["user"] in text_of(browser, "#drops"), 10, "the drop", every=0.2)
    wait_until(lambda: "Admin Reset" in text_of(browser, "#causes"), 10, "its cause", every=0.2)


def test_a_user_is_found_on_the_page(bed: Bed, browser: Browser) -> None:
    shown(browser)
    row = bed.suite.online()[0]
    browser.value(f"document.getElementById('user').value = {row['user']!r};"
                  " document.getElementById('search').requestSubmit()")
    wait_until(lambda: row["user"] in text_of(browser, "#found") and "Tunnel" in text_of(browser, "#found"), 10,
               "the path of his session", every=0.2)
    assert "link-up" in text_of(browser, "#found")
    browser.value("document.getElementById('user').value = 'nobody'; document.getElementById('search').requestSubmit()")
    wait_until(lambda: "no link now" in text_of(browser, "#found"), 10, "that nobody is not there", every=0.2)


@pytest.mark.parametrize(("name", "width", "phone", "dark"), [
    ("wide", 1280, False, False), ("dark", 1280, False, True), ("phone", 390, True, False),
])
def test_the_page_fits_its_screen(bed: Bed, browser: Browser, name: str, width: int, phone: bool, dark: bool) -> None:
    browser.screen(width, 900, phone, dark)
    shown(browser)
    browser.value("document.getElementById('load-links').click()")
    wait_until(lambda: "session-" in text_of(browser, "#links"), 10, "links", every=0.2)
    # nothing makes the page wider than the screen, and every control has a name
    assert browser.value("document.documentElement.scrollWidth") <= width
    hidden = ("[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth)"
              ".map(one => one.id)")
    assert browser.value(hidden) == []
    unnamed = ("[...document.querySelectorAll('button,input,meter')].filter("
               "    one => !(one.innerText || one.ariaLabel || one.labels?.length)).length")
    assert browser.value(unnamed) == 0
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground))) < 100) == dark
    directory = Path(os.environ.get("PROL2TP_PICTURES") or bed.world.path("pictures"))
    picture = directory / f"page-{name}.png"
    browser.picture(picture)
    assert picture.stat().st_size > 20_000  # one colour alone would be a few thousand octets


def test_neither_the_token_nor_a_user_is_in_the_log(bed: Bed) -> None:
    bed.get(f"?token={TOKEN}")
    bed.ask("api/find?user=somebody@example.com")
    assert TOKEN not in bed.web.output and "somebody" not in bed.web.output
