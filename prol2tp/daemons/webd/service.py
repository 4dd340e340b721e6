"""prol2tp-webd under twistd: `twistd prol2tp-web --run-dir DIR --listen 127.0.0.1:9721`."""

from __future__ import annotations

import os
import secrets
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.python import usage

from prol2tp.daemons.base import STATE_DIR, CommonOptions, DaemonService, make_directory
from prol2tp.daemons.logs import Level, Log

LISTEN = "127.0.0.1:9721"
TOKEN_FILE = "web-token"


class Options(CommonOptions):
    """The daemons' common options, and these. It has no configuration."""

    daemon = "prol2tp-webd"

    optParameters: list[Any] = [
        ["listen", None, LISTEN, "Address and TCP port to serve on."],
        ["state-dir", None, None, "Directory of the token [default: $PROL2TP_STATE_DIR or /var/lib/prol2tp]."],
        ["token-file", "t", None, "File with the token; made where there is none [default: STATE_DIR/web-token]."],
        ["name", None, None, "Host names by which it is called beside localhost and addresses, parted by commas."],
    ]
    optFlags: list[Any] = [
        ["open-metrics", None, "Give metrics to everybody who can connect, without the token."],
    ]

    def check(self) -> None:
        self["listen"] = self._address(self["listen"])
        self["names"] = frozenset(name.strip().lower() for name in (self["name"] or "").split(",") if name.strip())
        state = self["state-dir"] or os.environ.get("PROL2TP_STATE_DIR") or STATE_DIR
        if not self["token-file"]:
            make_directory(state, "state directory")
            self["token-file"] = os.path.join(state, TOKEN_FILE)
        self["token"] = token(self["token-file"])

    @staticmethod
    def _address(text: str) -> tuple[str, int]:
        host, _, port = text.rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or not 0 <= int(port) < 65536:
            raise usage.UsageError(f"--listen {text}: must be ADDRESS:PORT, as {LISTEN}")
        return host.strip("[]"), int(port)


def token(path: str) -> str:
    """The token of a file, which is made where there is none. Raises `usage.UsageError`."""
    try:
        with open(path, encoding="ascii") as file:
            known = file.read().strip()
    except FileNotFoundError:
        known = secrets.token_urlsafe(24)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise usage.UsageError(f"cannot make token file {path}: {os.strerror(error.errno or 0)}") from None
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(known + "\n")
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it has more than plain letters"
        raise usage.UsageError(f"cannot read token file {path}: {reason}") from None
    if len(known) < 16:
        raise usage.UsageError(f"token file {path}: must hold 16 letters or more; remove it, and one is made")
    return known


class WebService(DaemonService):
    """The process. It changes nothing in the other daemons, and they do without it."""

    def __init__(self, options: Options, log: Log, reactor: Any) -> None:
        super().__init__(options, log, reactor)
        from prol2tp.daemons.webd.pages import Page, QuietSite
        from prol2tp.daemons.webd.streams import Streams
        from prol2tp.daemons.webd.watch import Watch

        streams = Streams()
        self.watch = Watch(reactor, options["run-dir"], streams.tell)
        self.watch.setServiceParent(self)
        page = Page(self.watch, streams, options["token"], options["names"], bool(options["open-metrics"]))
        self.site = QuietSite(page)
        self.port: Any = None

    def startService(self) -> None:
        super().startService()
        host, port = self.options["listen"]
        try:
            self.port = self.reactor.listenTCP(port, self.site, interface=host)
        except CannotListenError as error:
            self.fail(f"cannot listen on {host} port {port}: {error.socketError}")
            return
        shown = f"[{host}]" if ":" in host else host
        self.log.notice("serving http://{host}:{port}/?token=TOKEN, with the token of {file}; metrics at /metrics",
                        host=shown, port=self.port.getHost().port, file=self.options["token-file"])
        self.ready()

    def stopService(self) -> Any:
        if self.port is not None:
            self.port.stopListening()
        return super().stopService()


def makeService(options: Options) -> WebService:
    """For the twistd plugin."""
    from twisted.internet import reactor

    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise usage.UsageError("the extra 'metrics' is not installed: pip install 'prol2tp[metrics]'") from None
    level = Level(min(Level.DEBUG, Level.NOTICE + options["debug"]))
    return WebService(options, Log("prol2tp.webd", level), reactor)
