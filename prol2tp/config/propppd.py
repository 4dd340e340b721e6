"""propppd.conf: from text to effective records.

What a profile does not give comes from the profile named `default`, then from the table. `link_settings`
fills the PPP core's LinkSettings, `user_grant` its Grant: the keys are the field names there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from prol2tp.config import ipv6
from prol2tp.config.ipv6 import IPv6Pool
from prol2tp.config.links import (
    FILE,
    LOG_CATEGORIES,
    PROFILE,
    Filter,
    IpPool,
    LogCategories,
    Profile,
    PropppdConfig,
    System,
    User,
)
from prol2tp.config.parameter import Given, check_references, read_file
from prol2tp.config.problems import ConfigError, Problems, shown
from prol2tp.config.radius import Radius, RadiusServer, radius_of
from prol2tp.config.template import has_placeholder
from prol2tp.config.types import Range

__all__ = [
    "FILE",
    "ConfigError",
    "Filter",
    "IPv6Pool",
    "IpPool",
    "LogCategories",
    "Profile",
    "PropppdConfig",
    "Radius",
    "RadiusServer",
    "System",
    "User",
    "link_settings",
    "load",
    "user_grant",
]

DEFAULT = "default"
_OF_THE_SHELL = (
    "refuse_methods",
    "proxy_lcp",
    "proxy_auth",
    "tls_ca",
    "tls_certificate",
    "tls_key",
    "tls_crl",
    "tls_server_name",
    "tls_minimum",
    "ccp",
    "use_radius",
    "accounting",
    "interim_interval",
    "ip_pool",
    "default_route",
    "proxy_arp",
    "table",
    "vrf",
    "interface",
    "interface_name",
    "mss_clamp",
    "clear_df",
    "source_check",
    "max_sessions",
    "one_session_per_user",
    "second_login",
    "port_limit",
    "rate_limit",
    "filter",
    "rate_limit_by",
    "unknown_filter",
    "ipv6_pool",
    "ipv6_address_pool",
    "delegated_pool",
    "ipv6_dns",
    "ipv6_domain",
    "ipv6_valid_lifetime",
    "ipv6_preferred_lifetime",
    "ra",
    "ra_interval",
    "ra_lifetime",
    "ra_hop_limit",
    "ra_mtu",
    "dhcpv6",
)
"""Parameters of a profile that the PPP core does not see."""

_TABLE_AND_VRF = ("table", "table and vrf together: a VRF has its own table", "remove one of them")

_FOR_THE_CORE = tuple(name for name in PROFILE.parameters if name not in _OF_THE_SHELL)


def load(text: str, filename: str) -> PropppdConfig:
    """Read a whole file. Raises `ConfigError` with all that is wrong with it."""
    problems = Problems(text, filename)
    file = read_file(text, problems, FILE)
    check_references(file, file.blocks, problems)
    system = _system(file)
    profiles = _profiles(file, system, problems)
    pools = _pools(file, problems)
    ipv6_pools = ipv6.pools_of(file, problems)
    for kind in ("profile", "user"):
        for given in file.blocks[kind].values():
            ipv6.check_uses(given, ipv6_pools, problems)
    radius = radius_of(file, system.hostname, problems)
    _check_use(file, profiles, radius, problems)
    _check_users(file, problems)
    _check_shared(file, profiles, problems)
    problems.refuse()
    users = {name: User(name=name, **one.values) for name, one in file.blocks["user"].items()}
    filters = {name: Filter(name=name, **one.values) for name, one in file.blocks["filter"].items()}
    return PropppdConfig(system, profiles, pools, users, radius, filters, ipv6_pools)


def _system(file: Given) -> System:
    given = file.blocks["system"].get("")
    if given is None:
        return System(log_categories=_categories("notice", {}))
    level = given.values.get("log_level", "notice")
    return System(log_categories=_categories(level, given.one("log_categories")), **given.values)


def _categories(level: str, given: Mapping[str, str]) -> LogCategories:
    return LogCategories(**{**dict.fromkeys(LOG_CATEGORIES, level), **given})


def _profiles(file: Given, system: System, problems: Problems) -> dict[str, Profile]:
    given = file.blocks["profile"]
    inherited = given[DEFAULT].values if DEFAULT in given else {}
    profiles: dict[str, Profile] = {}
    for name, values in {DEFAULT: inherited, **{name: one.values for name, one in given.items()}}.items():
        profile = profiles[name] = Profile(profile_name=name, **{**inherited, **values})
        profile.name = profile.name or system.hostname
        if not profile.interface_name:
            profile.interface_name = "ppp%d" if profile.interface == "own" else "pppshared"
        if name in given:
            _check_profile(given[name], profile, problems)
    return profiles


def _check_profile(given: Given, profile: Profile, problems: Problems) -> None:
    ipv6.check_profile(given, profile, problems)
    for parameter, wrong, right in contradictions(profile):
        given.wrong(problems, parameter, wrong, right)


def contradictions(profile: Profile) -> Iterator[tuple[str, str, str]]:
    """What does not fit together in one profile: the parameter, what is wrong, what would be right."""
    if profile.interface == "shared" and has_placeholder(profile.interface_name):
        yield ("interface_name", "a shared interface has one name for all sessions",
               "take the % out of interface_name")
    if "none" in profile.ccp and len(profile.ccp) > 1:
        yield "ccp", "none stands alone", "take none out, or the others"
    for parameter in ("ccp", "auth_methods", "allow_methods", "refuse_methods", "eap_methods", "eap_allow_methods"):
        methods = getattr(profile, parameter)
        if len(set(methods)) < len(methods):
            yield parameter, f"{parameter} names a method twice", "name each once"
    if "tls" in profile.eap_methods + profile.eap_allow_methods:
        for needed in ("tls_ca", "tls_certificate", "tls_key"):
            if not getattr(profile, needed):
                parameter = "eap_methods" if "tls" in profile.eap_methods else "eap_allow_methods"
                yield parameter, f"EAP-TLS needs {needed}", f"add: {needed} file"
                break
    if profile.proxy_auth and not profile.proxy_lcp:
        yield ("proxy_auth", "proxy_auth without proxy_lcp: who negotiates LCP anew is authenticated anew",
               "add: proxy_lcp true")
    if profile.local_ip and profile.local_ip == profile.peer_ip:
        yield "peer_ip", f"local_ip and peer_ip are both {profile.local_ip}", "give one end another address"
    if profile.ip_pool and profile.ip and not profile.local_ip and profile.profile_name != DEFAULT:
        yield "ip_pool", "peers get addresses from ip_pool, but we have none ourselves", "add: local_ip ipv4"
    if profile.table and profile.vrf:
        yield _TABLE_AND_VRF
    if profile.one_session_per_user and profile.second_login == "preempt":
        yield ("second_login", "one_session_per_user refuses a second login, and second_login preempt lets it in",
               "remove one of them")


def _check_users(file: Given, problems: Problems) -> None:
    for name, given in file.blocks["user"].items():
        values = given.values
        if not values.get("password") and not values.get("certificate"):
            wrong = f'user "{shown(name)}" has no password'
            given.wrong(problems, "password", wrong, "add: password or certificate")
        if "netmask" in values and "ip" not in values:
            given.wrong(problems, "netmask", "a netmask without an address", "add: ip ipv4")
        if values.get("table") and values.get("vrf"):
            given.wrong(problems, *_TABLE_AND_VRF)


def _check_shared(file: Given, profiles: Mapping[str, Profile], problems: Problems) -> None:
    """One interface has one routing table."""
    first: dict[str, Profile] = {}
    for name, given in file.blocks["profile"].items():
        profile = profiles[name]
        if profile.interface != "shared":
            continue
        other = first.setdefault(profile.interface_name, profile)
        for parameter in ("table", "vrf"):
            if getattr(other, parameter) != getattr(profile, parameter):
                wrong = (f'{parameter} differs from that of profile "{shown(other.profile_name)}", which shares '
                         f"interface {profile.interface_name}")
                given.wrong(problems, parameter, wrong, "give one of them another interface_name")


def _check_use(file: Given, profiles: Mapping[str, Profile], radius: Radius, problems: Problems) -> None:
    """Who asks for RADIUS and gets none would find out by letting everybody in, or nobody."""
    asked = any(server.auth_port for server in radius.servers.values())
    for name, given in file.blocks["profile"].items():
        if given.values.get("accounting") and not radius.accounts:
            wrong = "accounting is set, but no RADIUS server does accounting"
            given.wrong(problems, "accounting", wrong, 'add: radius { server "name" { address ip; secret password } }')
        if not given.values.get("use_radius"):
            continue
        if not profiles[name].auth:
            wrong = "use_radius asks about users, but nobody has to authenticate himself"
            given.wrong(problems, "use_radius", wrong, "add: auth true")
        if not asked:
            wrong = "use_radius is set, but no RADIUS server does authentication"
            given.wrong(problems, "use_radius", wrong, 'add: radius { server "name" { address ip; secret password } }')


def _pools(file: Given, problems: Problems) -> dict[str, IpPool]:
    pools: dict[str, IpPool] = {}
    spans: list[tuple[int, int, str]] = []
    for name, given in file.blocks["ip_pool"].items():
        pool = pools[name] = IpPool(name=name, **given.values)
        if not given.values and not given.block.statements:
            wrong = f"{given.block.title()} is empty"
            given.wrong(problems, "range", wrong, "add: range first-last, or prefix network")
        own = [(int(one.first), int(one.last)) for one in pool.range]
        own += [_hosts(network) for network in pool.prefix if isinstance(network, IPv4Network)]
        pool.ranges = tuple(Range(IPv4Address(first), IPv4Address(last)) for first, last in sorted(own))
        spans += [(first, last, name) for first, last in own]
    _refuse_overlaps(spans, file.blocks["ip_pool"], problems)
    _refuse_circles(pools, file.blocks["ip_pool"], problems)
    return pools


def _refuse_circles(pools: Mapping[str, IpPool], blocks: Mapping[str, Given], problems: Problems) -> None:
    for name in pools:
        seen, at = {name}, pools[name].next
        while at in pools and at not in seen:
            seen.add(at)
            at = pools[at].next
        if at == name:
            blocks[name].wrong(problems, "next", f"the pools after {blocks[name].block.title()} lead back to it",
                               "remove next from one of them")


def _hosts(network: IPv4Network) -> tuple[int, int]:
    """First and last address that a host may have (RFC 3021: both of a /31)."""
    first, last = int(network.network_address), int(network.broadcast_address)
    return (first, last) if network.prefixlen >= 31 else (first + 1, last - 1)


def _refuse_overlaps(spans: list[tuple[int, int, str]], pools: Mapping[str, Given], problems: Problems) -> None:
    """An address in two places would be given to two peers."""
    spans.sort()
    end, owner = -1, ""
    for first, last, name in spans:
        if first <= end:
            given = pools[name]
            parameter = "range" if "range" in given.values else "prefix"
            where = "twice in it" if owner == name else f'in ip_pool "{shown(owner)}" too'
            given.wrong(
                problems,
                parameter,
                f"{IPv4Address(first)} of {given.block.title()} is {where}",
                "an address is in one pool only",
            )
        if last > end:
            end, owner = last, name


def link_settings(profile: Profile) -> dict[str, Any]:
    """Keyword arguments of the PPP core's LinkSettings."""
    settings = {name: getattr(profile, name) for name in _FOR_THE_CORE}
    encryption = ("mppe",) if profile.mppe_required else ()
    settings["codecs"] = encryption + tuple(word for word in profile.ccp if word != "none")
    if profile.refuse_methods:
        settings["allow_methods"] = tuple(one for one in profile.allow_methods if one not in profile.refuse_methods)
    return settings


def user_grant(user: User) -> dict[str, Any]:
    """Keyword arguments of the PPP core's Grant, for a user who has authenticated himself."""
    return {
        "user": user.name,
        "peer_ip": user.ip,
        "dns": user.dns,
        "nbns": user.nbns,
        "peer_interface_id": user.interface_id,
        "idle_timeout": user.idle_timeout,
        "session_timeout": user.session_timeout,
        "mtu": user.mtu,
        "message": user.reply_message,
    }
