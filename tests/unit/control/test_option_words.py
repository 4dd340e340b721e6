"""The option words that the declarations promise are those that the protocols use."""

from __future__ import annotations

from prol2tp.control.commands.propppd import RECORDS
from prol2tp.ppp import ipcp, ipv6cp


def promised(record: str) -> set[str]:
    return set(RECORDS[record].help.partition("Option words: ")[2].rstrip(".").split())


def test_option_words_of_the_network_protocols():
    # beside the options: reqaddr is the wish for an address, proxyarp what the interface does
    assert promised("ipcp") == {"reqaddr", "proxyarp"} | {option.flag for option in ipcp.OPTIONS.values()}
    assert promised("ipv6cp") == {option.flag for option in ipv6cp.OPTIONS.values()}
