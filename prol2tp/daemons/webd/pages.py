"""What is served: the page and its files, a stream of what happens, answers as JSON, metrics. Nothing can be changed.

Who asks must know the token: as a cookie, which the page's address with `?token=` sets, or as a bearer token (RFC
6750). A Host that is not ours is refused, so that no page of the web can ask through a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hmac
import json
import mimetypes
from collections.abc import Callable
from importlib.resources import files
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from prol2tp.control.command import ControlError, Gone, NotFound
from prol2tp.control.commands import proacd, prol2tpd, propppd
from prol2tp.daemons.webd.metrics import CONTENT_TYPE, Snapshot
from prol2tp.daemons.webd.streams import Streams
from prol2tp.daemons.webd.watch import ROWS, Watch

COOKIE = b"prol2tp"
FILES = ("index.html", "page.css", "page.js", "icon.svg")
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
                                b" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer", b"cache-control": b"no-store",
}
_log = Logger(namespace="webd")


class _Request(server.Request):
    """What is sent with a request is not kept: nothing here wants it."""

    def gotLength(self, length: int | None) -> None:
        """Of `http.Request`."""
        super().gotLength(0)

    def handleContentChunk(self, data: bytes) -> None:
        """Of `http.Request`."""


class QuietSite(Site):
    """Requests are not logged: they have the token and the names of users in them."""

    displayTracebacks = False
    noisy = False
    requestFactory = _Request

    def log(self, request: Request) -> None:
        """Of `Site`."""


class Page(Resource):
    """Everything, below one resource.

    :param names: hosts by which we may be called beside addresses and localhost.
    """

    isLeaf = True

    def __init__(self, watch: Watch, streams: Streams, token: str, names: frozenset[str] = frozenset(),
                 open_metrics: bool = False) -> None:
        super().__init__()
        self._watch = watch
        self._streams = streams
        self._token = token.encode()
        self._names = names
        self._open_metrics = open_metrics
        self._answers: dict[str, Callable[..., Deferred[Any]]] = {
            "find": self._find, "tunnels": self._tunnels, "links": self._links, "routes": self._routes,
            "link": self._link, "session": self._session,
        }

    def render_GET(self, request: Request) -> Any:
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        if not self._ours(request.getRequestHostname()):
            return _text(request, 421, "this host is not served here; see --name")
        words = [unquote(word.decode("ascii", "replace")) for word in request.path.split(b"/")[1:]]
        if words[0] == "metrics" and len(words) <= 2 and (self._open_metrics or self._knows(request)):
            return self._metrics(request, words[1] if len(words) > 1 else "")
        if self._right(_arguments(request, "token").get("token", "").encode()):
            request.addCookie(COOKIE, self._token, path=b"/", httpOnly=True, sameSite=b"strict")
            request.redirect(b"/")
            return b""
        if not self._knows(request):
            return _text(request, 401, "the address of this page has a token; the log of prol2tp-webd names the file"
                                       " that has it")
        return self._render(request, words)

    def _render(self, request: Request, words: list[str]) -> Any:
        if words == ["stream"]:
            self._streams.add(request, self._everything)
            return NOT_DONE_YET
        if words[0] == "api" and len(words) in (2, 3) and words[1] in self._answers:
            name = words[2] if len(words) == 3 else ""
            answer = maybeDeferred(self._answers[words[1]], name, **_arguments(request, "user", "cursor"))
            answer.addCallbacks(lambda value: _json(request, value), lambda failure: _failed(request, failure))
            return NOT_DONE_YET
        name = words[0] or "index.html"
        if len(words) == 1 and name in FILES:
            request.setHeader(b"content-type", f"{mimetypes.guess_type(name)[0]}; charset=utf-8".encode())
            return files(__package__).joinpath("page", name).read_bytes()
        return _text(request, 404, "there is nothing here")

    def _everything(self) -> dict[str, Any]:
        watch = self._watch
        return {"samples": list(watch.series.samples), "state": watch.state(), "drops": list(watch.drops.recent)}

    def _ours(self, host: bytes) -> bool:
        text = host.decode("ascii", "replace").strip("[]").lower()
        if text in ("localhost", *self._names):
            return True
        try:
            ip_address(text)
        except ValueError:
            return False
        return True

    def _right(self, token: bytes) -> bool:
        return hmac.compare_digest(token, self._token)

    def _knows(self, request: Request) -> bool:
        bearer = request.getHeader(b"authorization") or b""
        return self._right(request.getCookie(COOKIE) or b"") or (
            bearer[:7].lower() == b"bearer " and self._right(bearer[7:].strip()))

    # metrics

    def _metrics(self, request: Request, daemon: str) -> Any:
        watch = self._watch
        if daemon and daemon not in watch.clients:
            return _text(request, 404, f"there are metrics of {', '.join(watch.clients)}")

        def answered(_: None) -> None:
            records = {name: record for name, record in watch.records.items() if daemon in ("", name)}
            ours = daemon in ("", "propppd")
            text = Snapshot(records, watch.servers if ours else (), watch.pools if ours else ()).text()
            request.setHeader(b"content-type", CONTENT_TYPE.encode())
            _finish(request, text)

        watch.refresh().addCallback(answered).addErrback(lambda failure: _failed(request, failure))
        return NOT_DONE_YET

    # answers

    def _find(self, name: str, user: str = "", **_: str) -> Deferred[Any]:
        return self._watch.call("propppd", propppd.FIND, user=user)

    def _page(self, daemon: str, command: Any, cursor: str) -> Deferred[Any]:
        return self._watch.call(daemon, command, cursor=cursor, limit=ROWS)

    def _tunnels(self, name: str, cursor: str = "", **_: str) -> Deferred[Any]:
        return self._page("prol2tpd", prol2tpd.LIST_TUNNELS, cursor)

    def _links(self, name: str, cursor: str = "", **_: str) -> Deferred[Any]:
        return self._page("propppd", propppd.LIST, cursor)

    def _routes(self, name: str, cursor: str = "", **_: str) -> Deferred[Any]:
        return self._page("proacd", proacd.LIST_ROUTES, cursor)

    def _link(self, name: str, **_: str) -> Deferred[Any]:
        """A link, and the session and tunnel that carry it."""
        def shown(answer: dict[str, Any]) -> Any:
            link = answer["link"]
            call = link["pppol2tp"]
            words = {name, f"{call['tunnel_id']}/{call['session_id']}"} if call else {name}
            result = {"link": link, "session": None, "tunnel": None, "events": self._watch.events_of(words)}
            return self._carriers(result, call["tunnel_id"], call["session_id"]) if call else result

        return self._watch.call("propppd", propppd.SHOW, name=name).addCallback(shown)

    def _session(self, name: str, **_: str) -> Deferred[Any]:
        """A session and its tunnel by `TUNNEL-SESSION`."""
        tunnel, _dash, session = name.partition("-")
        if not (_is_number(tunnel) and _is_number(session)):
            raise NotFound("sessions are named TUNNEL-SESSION")
        result: dict[str, Any] = {"link": None, "session": None, "tunnel": None,
                                  "events": self._watch.events_of({f"{tunnel}/{session}"})}
        return self._carriers(result, int(tunnel), int(session))

    def _carriers(self, result: dict[str, Any], tunnel: int, session: int) -> Deferred[Any]:
        watch = self._watch

        def answered(outcomes: list[Any]) -> dict[str, Any]:
            for (good, answer), name in zip(outcomes, ("session", "tunnel"), strict=True):
                if good:
                    result[name] = answer[name]
            return result

        return DeferredList([
            watch.call("prol2tpd", prol2tpd.SHOW_SESSION, tunnel_id=tunnel, session_id=session, stats=True),
            watch.call("prol2tpd", prol2tpd.SHOW_TUNNEL, tunnel_id=tunnel)], consumeErrors=True).addCallback(answered)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _arguments(request: Request, *names: str) -> dict[str, str]:
    given: dict[bytes, list[bytes]] = request.args or {}
    return {name: given[name.encode()][0].decode("utf-8", "replace") for name in names if name.encode() in given}


def _text(request: Request, code: int, text: str) -> bytes:
    request.setResponseCode(code)
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    return text.encode() + b"\n"


def _json(request: Request, value: Any) -> None:
    request.setHeader(b"content-type", b"application/json")
    _finish(request, json.dumps(value).encode())


def _failed(request: Request, failure: Failure) -> None:
    error = failure.value
    if isinstance(error, ControlError):
        code = 404 if isinstance(error, NotFound) else 503 if isinstance(error, Gone) else 400
        _finish(request, _text(request, code, str(error)))
    else:
        _log.failure("{path}", failure, path=request.path.decode("ascii", "replace"))
        _finish(request, _text(request, 500, "internal error; see the log"))


def _finish(request: Request, data: bytes) -> None:
    # who asked may have gone away meanwhile
    if request.channel is not None:
        request.write(data)
        request.finish()
