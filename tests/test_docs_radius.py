"""docs/radius.md says of every attribute what the code does with it."""

from __future__ import annotations

import re
from pathlib import Path

from prol2tp.aaa import dynamic as server
from prol2tp.daemons.propppd import changes, dynamic
from prol2tp.radius import access, accounting, answer, dynauth, packets
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.accounting import AccountingRequest
from prol2tp.radius.attributes import Addresses, Nas, Port, TunnelFacts
from prol2tp.radius.avpairs import KNOWN
from prol2tp.radius.dictionary import ATTRIBUTES, BY_KEY
from prol2tp.radius.lines import NUMBERS, line_attributes
from prol2tp.radius.tunnels import VPDN, TunnelReader

PAGE = Path(__file__).resolve().parents[1] / "docs" / "radius.md"
NAS = Nas("192.0.2.1", "2001:db8::1", "lns")
LINE = line_attributes({"numbers": {str(kind): kind for kind in NUMBERS}, "encapsulation": "010203"})
PORT = Port(
    1, line=LINE, called_station_id="1", calling_station_id="2", connect_info="3", nas_port_id="4",
    agent_circuit_id="5", agent_remote_id="6",
    tunnel=TunnelFacts(client_endpoint="1", server_endpoint="2", connection="3", assignment_id="4", client_auth_id="5",
                       server_auth_id="6", packets_lost=7),
)  # fmt: skip
ADDRESSES = Addresses("192.0.2.2", "255.255.255.255", 3, ("2001:db8::/64",), ("2001:db8:1::/56",), ("2001:db8::2",))


def names(data: bytes) -> set[str]:
    return {BY_KEY[key].name for key, _ in packets.attributes(packets.decode(data, b"x"))}


def requests() -> set[str]:
    """All that an Access-Request can have, by any method."""
    found: set[str] = set()
    for method, challenge, response in (("pap", b"", b""), ("chap", bytes(16), bytes(16)), ("eap", b"", b""),
                                        ("mschapv1", bytes(8), bytes(24)), ("mschapv2", bytes(16), bytes(24))):
        record = AccessRequest(
            b"u", method, 1, b"pw", challenge, response, bytes(16), eap_message=bytes(5), state=b"s",  # type: ignore[arg-type]
            acct_session_id="1", nas=NAS, port=PORT, framed_mtu=1500)
        found |= names(access.encode(record, 1, bytes(16), b"x"))
    return found


def records() -> set[str]:
    """All that an Accounting-Request can have."""
    many = 1 << 33
    record = AccountingRequest(
        "Stop", "1", 1, user="u", multi_session_id="1", session_time=1, input_octets=many, output_octets=many,
        input_packets=1, output_packets=1, terminate_cause="User Request", link_count=1, classes=(b"1",),
        chargeable_user_identity=b"1", filter_ids=("1",), addresses=ADDRESSES, nas=NAS, port=PORT)
    return names(accounting.encode(record, 1, 1, b"x")[0])


def rows() -> list[list[str]]:
    """The cells of the table."""
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| [A-Z][A-Za-z0-9-]+ \| [0-9:]+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def marked(column: int) -> set[str]:
    return {row[0] for row in rows() if row[column] == "x"}


def test_every_row_is_an_attribute_with_its_number_and_what_it_does() -> None:
    keys = []
    for name, number, *marks, text in rows():
        key = ATTRIBUTES[name].key
        assert number == (str(key) if isinstance(key, int) else f"{key[0]}:{key[1]}"), name
        assert text and "x" in marks and set(marks) <= {"", "x"}, name
        keys.append(name)
    assert len(keys) == len(set(keys))


def test_what_we_send_is_marked() -> None:
    assert marked(2) == requests()
    assert marked(4) == records()


def test_what_we_understand_is_marked() -> None:
    understood = {BY_KEY[key].name for key in (*answer._READ, *TunnelReader.KEYS)}
    assert marked(3) == understood | {"Message-Authenticator"}


def test_what_finds_sessions_is_marked() -> None:
    assert marked(5) == set(dynauth._SESSION)


def test_the_pairs_of_cisco_are_all_named() -> None:
    (text,) = [row[-1] for row in rows() if row[0] == "Cisco-AVPair"]
    assert set(re.findall(r"`([a-z0-9]+:[a-z-]+)", text)) == set(KNOWN)


def section(title: str) -> list[str]:
    """First cells of the rows under a heading of a table."""
    table = PAGE.read_text().partition(f"| {title} | |\n")[2].partition("\n\n")[0]
    return [line.strip("|").split("|")[0].strip() for line in table.splitlines()[1:]]


def test_what_a_coa_changes_is_what_the_page_says() -> None:
    fields = {**answer._ONE, **answer._SEVERAL, **answer._ROUTES}
    changed = {*changes._AUTHORIZATION, *changes._LINK, *changes._ROUTES, *changes._PART_OF_RATES, "avpairs"}
    rows = section("changed by a CoA")
    assert len(rows) == len(set(rows))
    assert set(rows) == {name for name, field in fields.items() if field in changed}


def test_every_error_cause_that_is_sent_stands_on_the_page() -> None:
    modules = (changes, dynamic, server, dynauth)
    sent = re.findall(r"(?:Refused|refuse)\((?:output, )?([A-Z_]{4,})",
                      "".join(Path(module.__file__ or "").read_text() for module in modules))
    causes = {dynauth.CAUSE_NAMES[getattr(dynauth, name)] for name in sent}
    assert set(section("Error-Cause of a NAK")) == causes
    for name in causes:
        assert f"| {name} | {dynauth.ERROR_CAUSES[name]}:" in PAGE.read_text()


def test_every_pair_of_tunnels_is_named() -> None:
    section = PAGE.read_text().split("## Tunnels")[1].split("\n## ")[0]
    assert [name for name in VPDN if f"`{name}`" not in section] == []
