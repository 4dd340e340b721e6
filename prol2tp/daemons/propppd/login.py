"""A user logs in on a link: the core's question goes to the sources of users, their answer back to the core, and what
was granted is taken over in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from prol2tp.daemons.logs import Level
from prol2tp.daemons.propppd import admission
from prol2tp.daemons.propppd.aaa import Denied, EapLocal, EapRequest, Question, Unanswered
from prol2tp.daemons.propppd.authorization import NOTHING, place
from prol2tp.net.netlink import NetlinkError
from prol2tp.ppp.frame import name
from prol2tp.ppp.mschap import AUTHENTICATION_FAILURE
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.settings import Grant

if TYPE_CHECKING:
    from prol2tp.daemons.propppd.link import PPPLink

_log = Logger(namespace="propppd")


def ask(link: PPPLink, output: AskAuthentication) -> None:
    """Who is it?"""
    link.question = output
    user = link.claimed = name(output.user)
    question = Question(output.method, user, output.identifier, output.password, output.challenge, output.response,
                        output.renewal, link, output.peer_challenge, output.flags, output.eap, output.user,
                        output.certificate, link.eap)
    link.eap = None
    asked = maybeDeferred(link.links.authentication.authenticate, question)
    asked.addCallbacks(lambda grant: _granted(link, grant, output),
                       lambda failure: _denied(link, failure, output, user))
    asked.addErrback(link.broken)


def _granted(link: PPPLink, grant: Grant | EapRequest | EapLocal, output: AskAuthentication) -> None:
    if link.ended or link.question is not output:
        return
    if isinstance(grant, EapRequest):
        link.question = None
        link.eap = grant if link.core.asking else None
        link.tell(link.core.eap_request, grant.packet, wait=grant.wait)
        return
    if isinstance(grant, EapLocal):
        link.question = None
        link.tell(link.core.eap_local)
        return
    _, vrf = place(grant.authorization or NOTHING, link.network)
    if vrf and not output.renewal:
        found = link.links.interfaces.network.vrf(vrf)
        found.addCallbacks(lambda _: "", lambda failure: _no_vrf(link, failure, grant.user, vrf))
        found.addCallback(lambda refusal: _decided(link, refusal, grant, output)).addErrback(link.broken)
    else:
        _decided(link, "", grant, output)


def _no_vrf(link: PPPLink, failure: Any, user: str, vrf: str) -> str:
    failure.trap(NetlinkError)
    _told_refusal(link, Level.WARNING, user, f"VRF {vrf}: {failure.value.text}")
    return "Service not available"


def _decided(link: PPPLink, refusal: str, grant: Grant, output: AskAuthentication) -> None:
    """`refusal`: the text for the peer when the user cannot come in, whatever else was granted."""
    if link.ended or link.question is not output:
        return
    link.question = None
    # else the link has started anew, and the user has to prove himself again
    if link.core.asking:
        refusal = refusal or (_still(link, grant) if output.renewal else _admit(link, grant))
        if refusal:
            link.tell(link.core.refused, refusal)
            return
        if not output.renewal:
            link.links.followers.tell("link_admitted", link)
    link.tell(link.core.authenticated, grant)


def _still(link: PPPLink, grant: Grant) -> str:
    """The text for the peer when somebody else has answered the challenge to a user who is online."""
    if grant.user == link.user:
        return ""
    _told_refusal(link, Level.WARNING, grant.user, f"{link.user} was challenged again, and another user answered")
    return "Authentication failed"


def _admit(link: PPPLink, grant: Grant) -> str:
    """Take over what was granted; the text for the peer when that cannot be."""
    grant.authorization = grant.authorization or NOTHING
    try:
        admission.admit(link.links, link, grant)
    except admission.Refused as refused:
        _told_refusal(link, refused.level, grant.user, str(refused))
        return refused.message
    link.idle_timeout = link.profile.idle_timeout if grant.idle_timeout is None else grant.idle_timeout
    # watched by us: the core is not told
    grant.idle_timeout = None
    return ""


def _denied(link: PPPLink, failure: Any, output: AskAuthentication, user: str) -> None:
    if failure.check(Denied):
        denied = failure.value
    else:
        _log.failure("authentication of {user}", failure=failure, user=user)
        denied = Unanswered("Authentication failed", "the question could not be answered", AUTHENTICATION_FAILURE)
    if link.ended or link.question is not output:
        return
    link.question = None
    if output.renewal and isinstance(denied, Unanswered) and link.core.asking:
        link.say(Level.WARNING, "challenged again, and {user} stays: {reason}", user=link.user, reason=denied.reason)
        link.tell(link.core.unanswered)
        return
    if link.core.asking:
        _told_refusal(link, Level.NOTICE, user, f"{denied.reason} ({output.method})")
    link.tell(link.core.refused, denied.message, error=denied.error, retry=denied.retry)


def _told_refusal(link: PPPLink, level: Level, user: str, reason: str) -> None:
    link.refusal = reason
    link.say(level, "user {user} refused: {reason}, call {call} from {peer}", user=user, reason=reason,
             call=link.carrier.id, peer=link.carrier.peer)
