"""RADIUS says where a route leads: who is asked about, what is asked, and what the answer means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from prol2tp.config.routes import L2tpProfile, RadiusProfile
from prol2tp.daemons.logs import Level, Log
from prol2tp.daemons.proacd.choice import L2TP, PPP, REFUSED, Choice
from prol2tp.daemons.proacd.negotiation import Negotiation, settings_of
from prol2tp.daemons.proacd.ports import port_of
from prol2tp.daemons.proacd.profiles import Profile
from prol2tp.daemons.proacd.route import Route
from prol2tp.daemons.proacd.sources import L2TPSource
from prol2tp.daemons.proacd.tunnels import destinations_of
from prol2tp.net.deadlines import ReactorDeadlines
from prol2tp.ppp.frame import name as name_of
from prol2tp.ppp.outputs import AskAuthentication
from prol2tp.ppp.proxy import AUTHEN_TYPES, ProxyRecord, for_ethernet
from prol2tp.radius.access import AccessRequest
from prol2tp.radius.answer import Answer
from prol2tp.radius.attributes import FRAMED, SERVICE_TYPES
from prol2tp.radius.outputs import Accepted, Challenged, NoAnswer, Rejected

OUTBOUND, CALL_CHECK = SERVICE_TYPES["Outbound"], SERVICE_TYPES["Call-Check"]
SERVED = (None, FRAMED, OUTBOUND, CALL_CHECK)
"""Service-Types of an answer that a route can give."""
AUTHENTICATION_FAILED, NAS_ERROR = "Authentication Failed", "NAS Error"


class RadiusChoice:
    """`IChoice` of routes with destination `radius`.

    :param profiles: those at work, by name.
    """

    def __init__(self, clock: IReactorTime, random_bytes: Callable[[int], bytes], log: Log,
                 profiles: Mapping[str, Profile]) -> None:
        self.l2tp: Mapping[str, L2tpProfile] = {}
        """`profile l2tp` blocks, by name; set by a reload."""
        self.name = ""
        """Ours, in challenges; set by a reload."""
        self.trace: Callable[[Route, str, str], None] | None = None
        """Hears of what is negotiated with users, when set: route, kind, text."""
        self.profiles = profiles
        self.clock = clock
        self.random_bytes = random_bytes
        self.log = log
        self.deadlines = ReactorDeadlines(clock)

    def choose(self, route: Route) -> Deferred[Choice]:
        """As `IChoice`."""
        profile = self.profiles.get(route.config.destination.profile)
        if profile is None:
            return succeed(Choice(REFUSED, message="the route is no longer configured"))
        if self.busy(route.config):
            return succeed(Choice(REFUSED, message="too many users are logging in"))
        return Enquiry(self, route, profile).begin()

    def busy(self, config: Any) -> bool:
        """As `IChoice`."""
        profile = self.profiles.get(config.destination.profile)
        return profile is not None and profile.negotiating >= profile.config.max_negotiations

    def stop(self) -> None:
        """No timers any more."""
        self.deadlines.stop()


class Enquiry:
    """One route on its way to an answer: perhaps LCP and authentication with the user, then RADIUS."""

    __slots__ = ("_choice", "_route", "_profile", "_config", "_negotiation", "_asked", "_result", "_user", "_proxy",
                 "_refusal")

    def __init__(self, choice: RadiusChoice, route: Route, profile: Profile) -> None:
        self._choice = choice
        self._route = route
        self._profile = profile
        self._config: RadiusProfile = profile.config
        self._negotiation: Negotiation | None = None
        self._asked: Deferred[Any] | None = None
        self._result: Deferred[Choice] = Deferred(lambda _: self._cancelled())
        self._user = ""
        """Who the user says he is; of a line its name."""
        self._proxy: ProxyRecord | None = None
        """What a LAC in front of us has negotiated already."""
        self._refusal = ""
        """What such a user is told once the link is ours."""

    def begin(self) -> Deferred[Choice]:
        result = self._result
        self._profile.negotiating += 1
        self._proxy = self._proxied()
        question = _question_of(self._proxy)
        if self._config.ask == "line":
            self._ask_about_line()
        elif question is not None:
            self._claimed(question)
        else:
            self._open()
        return result

    # who it is about

    def _ask_about_line(self) -> None:
        name = _line_name(self._route, self._config.line_name)
        if not name:
            self._end(Choice(REFUSED, message="nothing is known of the line"))
            return
        self._user = name_of(name)
        self._ask(self._of_name(name, CALL_CHECK))

    def _proxied(self) -> ProxyRecord | None:
        """Of a LAC in front of us."""
        source = self._route.source
        record = cast(L2TPSource, source).offer.get("proxy") if source.kind == L2TPSource.kind else None
        if not record:
            return None
        try:
            return ProxyRecord.from_record(record)
        except ValueError as error:
            self._say(Level.NOTICE, "the LAC's proxy record is not used: {reason}", reason=error)
            return None

    def _open(self) -> None:
        """The user is asked who he is."""
        # cancelled together with this
        self._asked = self._route.source.open()
        self._asked.addCallbacks(self._opened, self._not_opened)

    def _opened(self, _: None) -> None:
        self._asked = None
        choice, config = self._choice, self._config
        settings = settings_of(self._route.source, config.auth_methods, choice.name, config.negotiation_timeout)
        self._negotiation = Negotiation(self._route.source, settings, choice.random_bytes, choice.clock,
                                        choice.deadlines, config.negotiation_timeout, self._claimed, self._ended)
        if choice.trace is not None:
            self._negotiation.link.trace = partial(choice.trace, self._route)
        self._negotiation.start(self._proxy)

    def _not_opened(self, failure: Failure) -> None:
        self._asked = None
        if failure.check(CancelledError) is None:
            self._end(Choice(REFUSED, cause=NAS_ERROR, message=failure.getErrorMessage()))

    def _claimed(self, question: AskAuthentication) -> None:
        """The user, or a LAC for him, has said who he is; perhaps anew."""
        if self._refusal:
            assert self._negotiation is not None
            self._negotiation.refuse(self._refusal)
            return
        self._user = self._route.user = name_of(question.user)
        if self._config.ask == "user":
            self._ask(self._of_user(question))
            return
        _, _, realm = question.user.rpartition(self._config.realm_delimiter.encode())
        if realm == question.user:
            self._no_tunnel("the user names no realm", None, "")
            return
        self._ask(self._of_name(realm, OUTBOUND))

    # what is asked

    def _of_user(self, question: AskAuthentication) -> AccessRequest:
        request = self._request(question.user, FRAMED)
        request.method = question.method  # type: ignore[assignment]
        request.identifier, request.password = question.identifier, question.password
        request.challenge, request.response = question.challenge, question.response
        request.peer_challenge, request.flags = question.peer_challenge, question.flags
        return request

    def _of_name(self, name: bytes, service_type: int) -> AccessRequest:
        """About a realm or a line: its password is none of the user's."""
        request = self._request(name, service_type)
        request.password = self._config.password.encode() or name
        return request

    def _request(self, name: bytes, service_type: int) -> AccessRequest:
        port = port_of(self._route)
        port.service_type = service_type
        return AccessRequest(name, "pap", acct_session_id=self._profile.session_id(self._route), nas=self._profile.nas,
                             port=port)

    def _ask(self, request: AccessRequest) -> None:
        asked = self._profile.request(request)
        if not asked.called:
            self._asked = asked
        asked.addCallbacks(self._answered, self._not_asked)

    def _not_asked(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._fail(failure.getErrorMessage())

    # what the answer means

    def _answered(self, result: Any) -> None:
        self._asked = None
        if isinstance(result, Accepted):
            self._accepted(result.answer, result.server)
        elif isinstance(result, Rejected):
            self._reject(result.answer.reply_message, result.reason or f"rejected by RADIUS server {result.server}")
        elif isinstance(result, Challenged):
            # RFC 2865 section 4.4: who cannot ask the user again takes it for a Reject
            self._reject(result.answer.reply_message, f"RADIUS server {result.server} wants to ask once more")
        else:
            assert isinstance(result, NoAnswer)
            self._fail(f"no answer from RADIUS: {result.reason}")

    def _accepted(self, answer: Answer, server: str) -> None:
        for problem in answer.tunnel_problems:
            self._say(Level.WARNING, "RADIUS server {server}: {problem}", server=server, problem=problem)
        if answer.service_type not in SERVED:
            self._reject("", f"RADIUS server {server} accepts the user for another service than PPP")
        elif answer.tunnels:
            destinations = destinations_of(answer.tunnels, self._choice.l2tp.get(self._config.l2tp_profile))
            self._lead(Choice(L2TP, destinations, answer=answer))
        elif answer.tunnel_problems:
            # RFC 2868 section 3.1: as if it had been a Reject
            self._reject("", f"RADIUS server {server} names no tunnel that there can be")
        else:
            self._no_tunnel(f"RADIUS server {server} names no tunnel", answer, server)

    def _no_tunnel(self, reason: str, answer: Answer | None, server: str) -> None:
        profile = self._route.config.destination.ppp_profile
        if profile:
            self._lead(Choice(PPP, ppp_profile=profile, answer=answer))
        else:
            self._fail(reason)

    def _lead(self, choice: Choice) -> None:
        """Another end goes on from here."""
        negotiation = self._negotiation
        if negotiation is not None:
            proxy = negotiation.hand_over()
            if proxy is None:
                # the user has begun anew, and is asked about again
                return
        elif self._proxy is not None:
            proxy = self._proxy
        elif self._route.source.kind == "pppoe":
            proxy = for_ethernet(self._route.source.mtu)
        else:
            proxy = None
        choice.proxy = proxy.to_record() if proxy is not None else None
        answer = choice.answer
        choice.user = self._user
        if answer is not None:
            choice.user = answer.user_name or self._user
            choice.class_ = answer.classes
            choice.session_timeout = answer.session_timeout or 0
        self._end(choice)

    def _reject(self, message: str, reason: str) -> None:
        """The user may not come in: he is told so, where he has been asked who he is."""
        self._say(Level.NOTICE, "{user} is not let in: {reason}", user=self._user, reason=reason)
        told = message or "Authentication failed"
        if self._negotiation is not None:
            self._negotiation.refuse(told)
        elif self._config.ask != "line" and self._proxy is not None:
            # he waits for our word, not for the LAC's
            self._refusal = told
            self._open()
        else:
            self._end(Choice(REFUSED, cause=AUTHENTICATION_FAILED, message=told))

    def _fail(self, reason: str) -> None:
        """Not the user's fault: he may try again."""
        if self._negotiation is not None:
            self._negotiation.close(NAS_ERROR, reason)
        else:
            self._end(Choice(REFUSED, cause=NAS_ERROR, message=reason))

    # the end

    def _ended(self, cause: str, message: str) -> None:
        """Negotiation is over, and nobody goes on."""
        self._end(Choice(REFUSED, cause=cause, message=message))

    def _end(self, choice: Choice) -> None:
        result = self._result
        if self._stop():
            result.callback(choice)

    def _cancelled(self) -> None:
        """The source has gone."""
        self._stop()

    def _stop(self) -> bool:
        if self._profile is None:
            return False
        profile, self._profile = self._profile, None  # type: ignore[assignment]
        profile.negotiating -= 1
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()
        if self._negotiation is not None:
            self._negotiation.give_up()
        # no cycle is left for the garbage collector
        self._negotiation = self._result = None  # type: ignore[assignment]
        return True

    def _say(self, level: Level, text: str, **values: Any) -> None:
        log = self._choice.log
        if log.enabled(level):
            log.emit(level, "{route}: " + text, route=self._route.label, **values)


def _line_name(route: Route, names: tuple[str, ...]) -> bytes:
    """The first of these that is known of the line; empty: none."""
    line = route.source.line
    known = {
        "circuit_id": line.circuit_id if line is not None else None,
        "remote_id": line.remote_id if line is not None else None,
        "mac": route.source.calling_number.encode(),
    }
    return next((found for name in names if (found := known[name])), b"")


def _question_of(record: ProxyRecord | None) -> AskAuthentication | None:
    """What a user has told a LAC, as he would have told us; None: nothing that we can ask about."""
    if record is None:
        return None
    method = AUTHEN_TYPES.get(record.authen_type or 0, "")
    if method not in ("pap", "chap") or not record.authen_name or not record.authen_response:
        return None
    if method == "pap":
        return AskAuthentication("pap", record.authen_name, record.authen_id or 0, password=record.authen_response)
    return AskAuthentication("chap", record.authen_name, record.authen_id or 0, response=record.authen_response,
                             challenge=record.authen_challenge or b"")
