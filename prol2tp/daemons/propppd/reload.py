"""A new configuration on the running daemon: only what differs is touched, and links that are up keep what they have.

A profile that changed counts for links made from then on; one that was removed refuses new sessions. Pools give out
what is in them now; an address outside stays with the link that has it. A user who was removed is refused next time;
one who is online gets at once what has changed in his block of what can (`LIVE`), and the rest when he comes again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network
from typing import Any

from twisted.internet.defer import Deferred, succeed

from prol2tp.config.diff import ADDED, CHANGED, REMOVED, Change, diff
from prol2tp.config.propppd import PropppdConfig, User
from prol2tp.control.preview import AT_ONCE, LATER, Effect
from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.aaa import LocalUsers
from prol2tp.daemons.propppd.authorization import of_user
from prol2tp.daemons.propppd.link import PPPLink
from prol2tp.daemons.propppd.links import Links

LIVE = ("routes", "filters", "rate_up", "rate_down", "port_limit", "ipv6_dns", "interim_interval")
"""What of an `Authorization` can change while the user is online."""
_ORDER = ("system", "profile", "ip_pool", "ipv6_pool", "filter", "user", "radius", "radius server",
          "dynamic_authorization", "client")


def configure(links: Links, users: LocalUsers, config: PropppdConfig) -> Deferred[None]:
    """Take over a whole configuration; fires when the routes of shared interfaces follow it."""
    links.addresses.configure(
        {name: [(int(one.first), int(one.last)) for one in pool.ranges] for name, pool in config.pools.items()},
        [address for address in fixed_addresses(config) if address],
        {name: pool.next for name, pool in config.pools.items()},
    )
    links.configure_filters(config.filters)
    links.prefixes.configure(
        {name: ([IPv6Network(one) for one in pool.prefix], pool.length) for name, pool in config.ipv6_pools.items()},
        fixed_prefixes(config),
        {name: pool.next for name, pool in config.ipv6_pools.items()},
    )
    users.users = config.users
    return links.configure(config.profiles, config.system.max_links)


def apply(links: Links, users: LocalUsers, old: PropppdConfig, new: PropppdConfig) -> tuple[str, Deferred[None]]:
    """Change over from the old configuration. -> one line about what changed, and the end of it."""
    changes = diff(old, new)
    links.files_changed()
    if not changes:
        links.configure_filters(new.filters)
        return summary(changes), succeed(None)
    done = configure(links, users, new)
    for change in changes:
        if change.kind == "user" and change.action == CHANGED:
            (name,) = change.name
            renew(links, old.users[name], new.users[name])
    return summary(changes), done


def plan(links: Links, old: PropppdConfig, new: PropppdConfig) -> Iterator[tuple[Change, Effect]]:
    """What `apply` would do, change by change; nothing is done. No link ends by a reload."""
    for change in diff(old, new):
        yield change, _effect(links, old, new, change)


def _effect(links: Links, old: PropppdConfig, new: PropppdConfig, change: Change) -> Effect:
    if change.kind == "user":
        return _user_effect(links, old, new, change)
    if change.kind == "profile":
        if change.action == REMOVED:
            return Effect(LATER, "links that are up stay, new ones are refused")
        return Effect(LATER, "for links that are made from then on")
    if change.kind in ("ip_pool", "ipv6_pool"):
        return Effect(AT_ONCE, "who has an address outside of it keeps it")
    if change.kind == "filter":
        return Effect(AT_ONCE, "users who have it follow")
    return Effect(AT_ONCE, "")


def _user_effect(links: Links, old: PropppdConfig, new: PropppdConfig, change: Change) -> Effect:
    (name,) = change.name
    online = len(links.online.of(name))
    if change.action == ADDED or not online:
        return Effect(LATER, "refused when he comes again" if change.action == REMOVED else "when he comes again")
    if change.action == REMOVED:
        return Effect(LATER, f"refused when he comes again; online now: {online}")
    before, after = of_user(old.users[name]), of_user(new.users[name])
    if any(getattr(before, one) != getattr(after, one) for one in LIVE) or not {
            "session_timeout", "idle_timeout"}.isdisjoint(change.parameters):
        return Effect(AT_ONCE, f"online now: {online}; what cannot change while he is online comes next time")
    return Effect(LATER, f"when he comes again; online now: {online}")


def _told(failure: Any, link: PPPLink) -> None:
    link.say(Level.WARNING, "{reason}", reason=failure.getErrorMessage())


def renew(links: Links, old: User, new: User) -> None:
    """Give a user who is online what has changed in his block; what a CoA has changed meanwhile stays otherwise."""
    online = links.online.of(new.name)
    if not online:
        return
    before, after = of_user(old), of_user(new)
    changed = {name: getattr(after, name) for name in LIVE if getattr(before, name) != getattr(after, name)}
    for link in online:
        if link.authorization.source != before.source:
            continue
        if changed:
            links.apply(link, replace(link.authorization, **changed)).addErrback(_told, link)
        profile = link.profile
        session, idle = (
            None if getattr(old, name) == getattr(new, name)
            else getattr(profile if getattr(new, name) is None else new, name)
            for name in ("session_timeout", "idle_timeout")
        )
        links.limit(link, session, idle)


def fixed_addresses(config: PropppdConfig) -> list[str]:
    """What pools must not give out: ours, and those of users and profiles."""
    found = {user.ip for user in config.users.values() if user.ip}
    for profile in config.profiles.values():
        found |= {profile.local_ip, profile.peer_ip}
    return sorted(found - {""}, key=IPv4Address)


def fixed_prefixes(config: PropppdConfig) -> list[IPv6Network]:
    """What IPv6 pools must not give out: what users have of their own."""
    return [IPv6Network(one) for user in config.users.values()
            for one in (*user.ipv6_prefix, *user.ipv6_address, *user.delegated_prefix)]


def summary(changes: list[Change]) -> str:
    """`nothing changed`, or like `ip_pool: 1 changed, user: 2 added, 1 removed`."""
    counts = Counter((change.kind, change.action) for change in changes)
    parts = []
    for kind in _ORDER:
        actions = [f"{count} {action}" for action in ("added", "removed", "changed")
                   if (count := counts[(kind, action)])]
        if actions:
            parts.append(f"{kind}: {', '.join(actions)}")
    return ", ".join(parts) or "nothing changed"
