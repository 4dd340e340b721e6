"""What is decided when a user has proved who he is: whether he may have one more link, and which address he gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd.addresses import Lease, NoAddress
from prol2tp.daemons.propppd.authorization import Authorization, place
from prol2tp.ppp.link import Phase
from prol2tp.ppp.settings import Grant

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink
    from prol2tp.daemons.propppd.links import Links


class Refused(Exception):
    """The user does not come in. The text is for the log, `message` for the peer."""

    def __init__(self, reason: str, message: str, level: Level = Level.NOTICE) -> None:
        super().__init__(reason)
        self.message = message
        self.level = level


class Online:
    """Who is online, on which links, in the order in which they came."""

    __slots__ = ("_links",)

    def __init__(self) -> None:
        self._links: dict[str, dict[PPPLink, None]] = {}

    def __len__(self) -> int:
        """Users."""
        return len(self._links)

    def add(self, user: str, link: PPPLink) -> None:
        self._links.setdefault(user, {})[link] = None

    def discard(self, user: str, link: PPPLink) -> None:
        """A user or link that is not known does nothing."""
        links = self._links.get(user)
        if links is not None and links.pop(link, self) is None and not links:
            del self._links[user]

    def count(self, user: str) -> int:
        """The user's links, those on their way out among them."""
        return len(self._links.get(user, ()))

    def of(self, user: str) -> list[PPPLink]:
        """The user's links, but for those that are on their way out; the oldest first."""
        return [link for link in self._links.get(user, ()) if link.core.phase is not Phase.TERMINATE]


def admit(links: Links, link: PPPLink, grant: Grant) -> None:
    """Take over what was granted. Raises `Refused`; then the link has no user and no address."""
    authorization: Authorization = grant.authorization
    leave(links, link)
    _check_filters(links, link, authorization, grant.user)
    _check_place(link, authorization)
    old = _too_many(links, link, authorization, grant.user)
    try:
        _take_address(links, link, grant)
    except NoAddress as error:
        raise Refused(str(error), "No address available", Level.WARNING) from None
    link.user = grant.user
    links.online.add(grant.user, link)
    link.authorization = authorization
    for one in old:
        one.say(Level.NOTICE, "user {user} has come again as {other}", user=grant.user, other=link.name)
        end = one.close if one.confirmed else one.lost
        end("Port Preempted", "the user has logged in again")


def leave(links: Links, link: PPPLink) -> None:
    """The user that is known up to now, if any, is no longer on this link."""
    if link.user:
        links.online.discard(link.user, link)
        link.user = ""


def _check_filters(links: Links, link: PPPLink, authorization: Authorization, user: str) -> None:
    missing = links.filters.missing(authorization, user) if authorization.filters else []
    if missing and link.profile.unknown_filter == "refuse":
        raise Refused(f"there is no filter {missing[0][:80]!r}, and unknown_filter is refuse",
                      "Service not available", Level.WARNING)


def _check_place(link: PPPLink, authorization: Authorization) -> None:
    """One interface has one routing table."""
    if not link.network.shared:
        return
    table, vrf = place(authorization, link.network)
    if (table, vrf) != place(Authorization(), link.network):
        wanted = f"VRF {vrf}" if vrf else f"routing table {table}"
        raise Refused(f"interface {link.network.name} is shared, and the user has {wanted} of his own",
                      "Service not available", Level.WARNING)


def _too_many(links: Links, link: PPPLink, authorization: Authorization, user: str) -> list[PPPLink]:
    """-> links of the user that have to end for this one. Raises `Refused`."""
    profile = link.profile
    limit = profile.port_limit if authorization.port_limit is None else authorization.port_limit
    policy = "refuse" if profile.one_session_per_user else profile.second_login
    if policy == "refuse" or (policy == "preempt" and not limit):
        limit = 1
    if not limit or links.online.count(user) < limit:
        return []
    online = links.online.of(user)
    surplus = len(online) + 1 - limit
    if surplus <= 0:
        return []
    if policy == "preempt":
        return online[:surplus]
    # of a daemon that is away, or has come again without it
    orphans = [one for one in online if not one.confirmed]
    if len(orphans) >= surplus:
        return orphans[:surplus]
    if limit == 1 and policy == "refuse":
        why = "one_session_per_user is set" if profile.one_session_per_user else "second_login is refuse"
        raise Refused(f"online already, and {why}", "You are logged in already")
    raise Refused(f"online {len(online)} times, and the port limit is {limit}", "You are logged in too often")


def _take_address(links: Links, link: PPPLink, grant: Grant) -> None:
    """The address of the grant, or one out of its pools or the profile's. Raises `NoAddress`."""
    addresses, lease = links.addresses, link.lease
    names = grant.authorization.pools or link.profile.ip_pool
    settings = link.core.settings
    wanted = grant.peer_ip if settings.ip else None
    _, vrf = place(grant.authorization, link.network)
    if lease is not None:
        fits = wanted == lease.text or (names and not wanted and addresses.could_give(lease.address, names))
        if fits and lease.vrf == vrf:
            # LCP was negotiated anew: no reason to change the address
            grant.peer_ip = lease.text
            return
        addresses.release(lease)
        link.lease = None
    if not settings.ip:
        return
    if wanted:
        if wanted == settings.local_ip:
            raise NoAddress(f"address {wanted} is our own")
        link.lease = _claim(links, link, wanted, grant.user, vrf)
    elif names:
        link.lease = addresses.take(names, link, vrf)
        grant.peer_ip = link.lease.text


def _claim(links: Links, link: PPPLink, address: str, user: str, vrf: str) -> Lease:
    """A user's own address. Who logs in again while the old link is not known to be dead takes it over, and so does who
    finds it with a link that is over, whose interface only waits for its turn to be removed."""
    addresses = links.addresses
    holder = addresses.holder(address, vrf)
    if isinstance(holder, type(link)) and holder is not link and holder.lease is not None:
        if holder.ended or holder.user == user:
            addresses.release(holder.lease)
            holder.lease = None
        if not holder.ended and holder.user == user:
            holder.say(Level.NOTICE, "user {user} has come again as {other}", user=user, other=link.name)
            holder.close("Port Preempted", "the user has logged in again")
    return addresses.claim(address, link, vrf)
