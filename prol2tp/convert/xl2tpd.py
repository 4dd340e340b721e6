"""xl2tpd.conf, with pppd's options and secrets, as prol2tpd.conf and propppd.conf.

What xl2tpd does counts, not what its manual says of it: options of a section `default` are not those of the others,
and of two sections for the same peer the later one serves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, summarize_address_range

from prol2tp.config import links, prol2tpd, propppd, tunnels
from prol2tp.config.problems import ConfigError, right_name, shown
from prol2tp.convert.pppd import Words, new_profile
from prol2tp.convert.source import (
    File,
    Option,
    Place,
    Refused,
    Secret,
    Section,
    Span,
    address,
    secrets,
    sections,
    spans,
    without,
)
from prol2tp.convert.written import Block, page

AUTH_FILE = "/etc/xl2tpd/l2tp-secrets"
_BOTH = ("lns", "lac")
OPTIONS: dict[str, tuple[str, ...]] = {
    "listen-addr": ("global",), "port": ("global",), "auth file": ("global",), "access control": ("global",),
    "rand source": ("global",), "force userspace": ("global",), "ipsec saref": ("global",),
    "saref refinfo": ("global",), "max retries": ("global",), "cap backoff": ("global",),
    "debug avp": ("global",), "debug network": ("global",), "debug packet": ("global",), "debug state": ("global",),
    "debug tunnel": ("global",),
    "exclusive": ("lns",), "ip range": ("lns",), "no ip range": ("lns",), "assign ip": ("lns",), "lac": ("lns",),
    "no lac": ("lns",), "local ip range": ("lns",), "unix authentication": ("lns",),
    "hidden bit": _BOTH, "local ip": _BOTH, "length bit": _BOTH, "refuse chap": _BOTH, "require chap": _BOTH,
    "refuse pap": _BOTH, "require pap": _BOTH, "refuse authentication": _BOTH, "require authentication": _BOTH,
    "hostname": _BOTH, "name": _BOTH, "ppp debug": _BOTH, "pass peer": _BOTH, "pppoptfile": _BOTH, "call rws": _BOTH,
    "tunnel rws": _BOTH, "flow bit": _BOTH, "flow bits": _BOTH, "challenge": _BOTH, "rx bps": _BOTH, "tx bps": _BOTH,
    "bps": _BOTH, "proxy arp": ("lns",), "proxy authentication": ("lns",),
    "lns": ("lac",), "autodial": ("lac",), "redial": ("lac",), "redial timeout": ("lac",), "max redials": ("lac",),
    "remote ip": ("lac",), "defaultroute": ("lac",),
}
"""All options, and the sections in which they may stand."""
NOTES = {
    "rand source": "where random numbers come from; here always from the kernel",
    "ipsec saref": "hosts behind one NAT told apart by IPsec; see docs/migration.md",
    "saref refinfo": "a number of ipsec saref, which needs a patched kernel",
    "exclusive": "one tunnel for each peer; a peer may have several here, max_sessions limits what is in each",
    "unix authentication": "passwords of the system; here user blocks, or use_radius",
    "pass peer": "the peer's address for pppd's scripts; scripts of prol2tp-scriptd(8) always have it",
    "length bit": "the Length field of data messages; never sent here, always understood (RFC 2661 section 3.1)",
    "call rws": "a window for calls, which RFC 2661 no longer has",
    "flow bits": "sequence numbers of data messages, which do not work in xl2tpd; here: use_sequence_numbers true",
    "flow bit": "sequence numbers of data messages, which do not work in xl2tpd; here: use_sequence_numbers true",
    "max redials": "tries until it is given up; here they go on as long as persist is true",
    "proxy authentication": "not done by xl2tpd; here: proxy_lcp and proxy_auth in propppd.conf",
}
"""Options without a counterpart: what they mean, and what to do instead. Of no consequence when they say no."""
DEBUG = {
    "debug avp": ("avp", "debug"), "debug network": ("transport", "debug"), "debug packet": ("message", "info"),
    "debug state": ("fsm", "debug"), "debug tunnel": ("fsm", "debug"),
}
DEFAULT_BPS = "10000000"
"""What xl2tpd says of a line where it is told nothing."""
_ALL: Span = (0, 2**32 - 1)


@dataclass(frozen=True, slots=True)
class Converted:
    """Both files, and how many comments in them want to be looked at."""

    prol2tpd: str
    propppd: str
    notes: tuple[str, ...]


def files_named(config: File) -> tuple[list[str], str]:
    """The option files that xl2tpd.conf calls for, and its file of tunnel secrets. Raises `Refused`."""
    known = sections(config)
    options = [option.value for section in known for option in section.all("pppoptfile")]
    auth = [option.value for section in known for option in section.all("auth file")]
    return list(dict.fromkeys(options)), auth[-1] if auth else AUTH_FILE


def convert(
    config: File, ppp_options: dict[str, File], tunnel_secrets: Sequence[File], user_secrets: Sequence[File]
) -> Converted:
    """The files converted, and accepted by the readers of our daemons. Raises `Refused`."""
    return _Conversion(
        sections(config),
        ppp_options,
        [row for file in tunnel_secrets for row in secrets(file)],
        [row for file in user_secrets for row in secrets(file)],
    ).run()


@dataclass(slots=True)
class _Conversion:
    sections: list[Section]
    ppp_options: dict[str, File]
    tunnel_secrets: list[Secret]
    user_secrets: list[Secret]
    system: Block = field(default_factory=lambda: Block(tunnels.SYSTEM))
    ppp_system: Block = field(default_factory=lambda: Block(links.SYSTEM))
    l2tp: list[Block] = field(default_factory=list)
    ppp: list[Block] = field(default_factory=list)
    users: dict[str, Block] = field(default_factory=dict, repr=False)
    own_names: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    ppp_debug: bool = False

    def run(self) -> Converted:
        for section in self.sections:
            self._check(section)
        of = {kind: [one for one in self.sections if one.kind == kind] for kind in ("global", "lns", "lac")}
        shared = of["global"][0] if of["global"] else Section("global", "", self.sections[0].place) if (
            self.sections) else None
        if shared is None or not of["lns"] and not of["lac"]:
            raise Refused("there is no [lns] and no [lac] section, so there is nothing to convert")
        self._global(shared)
        for section in of["lac"]:
            self._lac(section)
        serving = _peers(of["lns"], shared)
        for section in of["lns"]:
            self._lns(section, serving[section.name])
        if of["lns"]:
            self._users()
        if self.ppp_debug:
            self.ppp_system.blocks.append(Block(links.CATEGORIES))
            self.ppp_system.blocks[0].put("ppp", "debug")
        return self._result()

    def _result(self) -> Converted:
        l2tp, ppp = [self.system, *self.l2tp], [self.ppp_system, *self.ppp, *self.users.values()]
        texts = (
            page("Converted from xl2tpd.conf by prol2tp-convert: read the comments, then prol2tpd -n.", l2tp),
            page("Converted from files of pppd by prol2tp-convert: read the comments, then propppd -n.", ppp),
        )
        readers = {"prol2tpd.conf": prol2tpd.load, "propppd.conf": propppd.load}
        for text, (name, load) in zip(texts, readers.items(), strict=True):
            try:
                load(text, name)
            except ConfigError as error:
                raise Refused(f"what comes of it is not accepted: {error.first}") from None
        return Converted(*texts, tuple(note for block in (*l2tp, *ppp) for note in _notes(block)))

    def _check(self, section: Section) -> None:
        for option in section.options:
            kinds = OPTIONS.get(option.name)
            if kinds is None:
                known = [name for name, where in OPTIONS.items() if section.kind in where]
                raise option.place.refuse(
                    f"{shown(option.name)} is no option of xl2tpd", right_name(option.name, known, "option"))
            if section.kind not in kinds:
                raise option.place.refuse(f"{option.name} does not belong to [{section.kind}]",
                                          "it belongs to " + " and ".join(f"[{kind}]" for kind in kinds))
            if not option.value:
                raise option.place.refuse(f"{option.name} has no value", f"write: {option.name} = value")

    def _global(self, section: Section) -> None:
        listen, port = section.last("listen-addr"), section.last("port")
        if listen or port:
            text = f"{address(listen) if listen else '0.0.0.0'}:{port.number(1) if port else 1701}"
            self.system.put("listen", text, (listen or port).place)  # type: ignore[union-attr]
        if (option := section.last("force userspace")) and option.boolean():
            self.system.put("data_path", "user", option.place)
        every = Block(tunnels.TUNNEL_PROFILE, "default", about="For all tunnels.")
        for name, parameter in (("max retries", "max_retries"), ("cap backoff", "retry_cap")):
            if option := section.last(name):
                every.put(parameter, str(option.number(1)), option.place)
        if every.values:
            self.l2tp.append(every)
        categories = Block(tunnels.CATEGORIES)
        for name, (category, level) in DEBUG.items():
            if (option := section.last(name)) and option.boolean():
                categories.put(category, level, option.place)
        if categories.values:
            self.system.blocks.append(categories)
        _note_others(section, self.system)

    def _name(self, section: Section) -> str:
        """A name for the blocks of a section. `default` has a meaning here that is another one."""
        name = section.kind if section.name.lower() == "default" else section.name
        while name in self.names or name == "default":
            name = f"{section.kind}-{name}"
        self.names.add(name)
        return name

    def _common(self, section: Section, tunnel: Block, session: Block, name: str) -> Words:
        """What tunnels and sessions of both kinds have; returns the words for pppd."""
        if option := section.last("hostname"):
            tunnel.put("hostname", option.value, option.place)
        if option := section.last("tunnel rws"):
            tunnel.put("rx_window_size", str(option.number(1)), option.place)
        speeds = [section.last(f"{way} bps") or section.last("bps") for way in ("tx", "rx")]
        if any(speeds):
            session.put("connect_speed", ":".join(str(one.number(1)) if one else DEFAULT_BPS for one in speeds))
        words = Words(new_profile(name), self.ppp_options)
        words.profile.about = f"Of [{section.kind} {section.name}]."
        if option := section.last("name"):
            words.profile.put("name", option.value, option.place)
        for option in section.all("require authentication", "refuse authentication"):
            if option.boolean():
                words.flag("auth" if option.name.startswith("require") else "noauth", option.place)
        for option in section.all("require pap", "require chap", "refuse pap", "refuse chap"):
            if option.boolean():
                words.flag(option.name.replace(" ", "-"), option.place)
        if option := section.last("local ip"):
            words.profile.put("local_ip", address(option), option.place)
        if option := section.last("pppoptfile"):
            words.read(option.value, option.place)
        debug = section.last("ppp debug")
        self.ppp_debug |= words.debug or bool(debug and debug.boolean())
        _note_others(section, tunnel)
        return words

    def _lac(self, section: Section) -> None:
        name, peers = self._name(section), section.all("lns")
        if not peers:
            raise section.place.refuse(f"[lac {shown(section.name)}] has no lns", "write: lns = address")
        dialled = (option := section.last("autodial")) is not None and option.boolean()
        tunnel = Block(tunnels.TUNNEL if dialled else tunnels.TUNNEL_PROFILE, name)
        session = Block(tunnels.SESSION if dialled else tunnels.SESSION_PROFILE, name)
        tunnel.about = f"[lac {section.name}], to {peers[0].value}"
        if dialled:
            tunnel.put("peer", peers[0].value, peers[0].place)
        for peer in peers[1:]:
            tunnel.notes.append(f"{peer.place}: lns = {peer.value}: a second LNS, which xl2tpd does not use either; "
                                "a name with several addresses has each tried in turn")
        redial = (option := section.last("redial")) is not None and option.boolean()
        for block in (tunnel, session):
            block.put("persist", "true" if redial else "false")
        if redial and (wait := section.last("redial timeout")):
            for parameter in ("tunnel_persist_pend_timeout", "session_persist_pend_timeout"):
                known = self.system.raw.get(parameter, [wait.value])[0]
                self.system.put(parameter, str(min(wait.number(1), int(known))), wait.place)
        words = self._common(section, tunnel, session, name)
        for option_name, parameter in (("remote ip", "peer_ip"), ("defaultroute", "default_route")):
            if option := section.last(option_name):
                text = address(option) if parameter == "peer_ip" else "true" if option.boolean() else "false"
                words.profile.put(parameter, text, option.place)
        words.finish(lns=False)
        session.put("ppp_profile", name)
        self._login(words.profile, session)
        self._lac_secret(section, tunnel)
        self.ppp.append(words.profile)
        if dialled:
            tunnel.blocks.append(session)
            self.l2tp.append(tunnel)
            return
        tunnel.put("session_profile", name)
        tunnel.about += (
            f". It was dialled by hand: prol2tp create tunnel name {name} peer {peers[0].value} tunnel_profile {name}, "
            f"then prol2tp create session name {name} in tunnel name {name}")
        self.l2tp += [session, tunnel]

    def _login(self, profile: Block, session: Block) -> None:
        """Our own name and password: they belong to the session."""
        name = profile.take("name")
        user = profile.take("user") or name
        password = profile.take("password")
        if not user:
            return
        self.own_names.add(user)
        found = [row.secret for row in self.user_secrets if row.client in (user, "*") and row.secret]
        session.put("user_name", user)
        if password or found:
            session.put("user_password", password or found[0])
        else:
            session.notes.append("no password was found for this user: add user_password")

    def _lac_secret(self, section: Section, tunnel: Block) -> None:
        host = tunnel.raw.get("hostname", [""])[0]
        peers = [peer.value.partition(":")[0] for peer in section.all("lns")]
        fit = [row for row in self.tunnel_secrets if row.client in ("*", host) or not host]
        best = [row for row in fit if row.server in peers] or [row for row in fit if row.server == "*"]
        if not best and len({row.secret for row in fit}) == 1:
            best = fit
        if not best and len(fit) > 1:
            tunnel.notes.append("several secrets would do, by the host name that the LNS gives: add secret")
        self._protect(section, tunnel, best[0] if best else None)

    def _protect(self, section: Section, tunnel: Block, row: Secret | None) -> None:
        challenge, hidden = section.last("challenge"), section.last("hidden bit")
        if row is not None and row.secret:
            tunnel.put("secret", row.secret, row.place)
            tunnel.put("auth_mode", "challenge" if challenge and challenge.boolean() else "none")
            if hidden and hidden.boolean():
                tunnel.put("hide_avps", "true", hidden.place)
        elif challenge and challenge.boolean():
            raise challenge.place.refuse("challenge needs a secret, and none was found for this section",
                                         "name the file of l2tp-secrets with --secrets")
        elif hidden and hidden.boolean():
            tunnel.notes.append(f"{hidden.place}: hidden bit = yes: add secret and hide_avps true")

    def _lns(self, section: Section, peers: list[Span]) -> None:
        name = self._name(section)
        session = Block(tunnels.SESSION_PROFILE, name)
        tunnel = Block(tunnels.TUNNEL_PROFILE, name, about=f"[lns {section.name}]")
        session.put("ppp_profile", name)
        if peers == [_ALL]:
            tunnel.put("peer", "any")
        elif peers:
            tunnel.put("peer", _prefixes(peers))
        else:
            tunnel.notes.append("by xl2tpd.conf this section serves nobody; give peer the addresses of LACs")
        tunnel.put("session_profile", name)
        words = self._common(section, tunnel, session, name)
        profile = words.profile
        self._addresses(section, profile, name)
        words.finish(lns=True)
        if profile.raw["auth"] == ["true"] and not self.user_secrets:
            profile.notes.append("users have to prove who they are, and no chap-secrets was given: add user blocks, "
                                 "or use_radius true")
        self.ppp.append(profile)
        self.l2tp += [session, *self._tunnel_profiles(section, tunnel)]

    def _addresses(self, section: Section, profile: Block, name: str) -> None:
        ranges = spans(section.all("ip range", "no ip range"))
        assign = section.last("assign ip")
        if ranges and (assign is None or assign.boolean()):
            pool = Block(links.IP_POOL, name)
            pool.put("range", [f"{IPv4Address(first)}-{IPv4Address(last)}" for first, last in ranges])
            profile.put("ip_pool", name)
            self.ppp.append(pool)
        local = section.all("local ip range")
        if local and "local_ip" not in profile.values:
            first = spans(local)[:1]
            if first:
                profile.put("local_ip", str(IPv4Address(first[0][0])))
            profile.notes.append(f"{local[0].place}: local ip range: an address of ours for each link; "
                                 "here all links of a profile have one, which costs none")
        if "ip_pool" in profile.values and "local_ip" not in profile.values:
            raise section.place.refuse(f"[lns {shown(section.name)}] has an ip range and no local ip",
                                       "write: local ip = our address towards users")

    def _tunnel_profiles(self, section: Section, tunnel: Block) -> list[Block]:
        """One for each LAC that has a secret of its own, then that of all others."""
        host = tunnel.raw.get("hostname", [""])[0]
        fit = [row for row in self.tunnel_secrets if row.client in ("*", host) or not host]
        made: dict[str, Block] = {}
        for row in fit:
            if row.server == "*" or row.server in made:
                continue
            block = Block(tunnels.TUNNEL_PROFILE, f"{tunnel.name}-{row.server}")
            block.about = f"{tunnel.about}, LAC {row.server}"
            block.values.update(tunnel.values)
            block.raw.update(tunnel.raw)
            block.put("peer_hostname", row.server, row.place)
            self._protect(section, block, row)
            made[row.server] = block
        others = [row for row in fit if row.server == "*"]
        if made and not others and (challenge := section.last("challenge")) and challenge.boolean():
            next(iter(made.values())).notes[:0] = tunnel.notes
            return list(made.values())
        self._protect(section, tunnel, others[0] if others else None)
        return [*made.values(), tunnel]

    def _users(self) -> None:
        notes = []
        for row in self.user_secrets:
            if row.client in self.users or row.client in self.own_names:
                continue
            if row.client == "*" or not row.secret or row.secret.startswith("@"):
                notes.append(f"{row.place}: a row for every name, without a password or with one in a file: "
                             "add user blocks, or use_radius true")
                continue
            user = self.users[row.client] = Block(links.USER, row.client)
            user.put("password", row.secret, row.place)
            self._user_address(row, user)
        self.ppp_system.notes += notes

    def _user_address(self, row: Secret, user: Block) -> None:
        allowed = [text for text in row.addresses if text != "--"]
        if not allowed or allowed[0] == "*":
            return
        try:
            user.put("ip", str(IPv4Address(allowed[0])), row.place)
        except ValueError:
            user.notes.append(f"{row.place}: addresses {shown(' '.join(allowed))}: no single address; "
                              "here ip is one address, ip_pool a pool of addresses")


def _peers(sections: list[Section], shared: Section) -> dict[str, list[Span]]:
    """Addresses that each section serves: of two the later one, then `default`. Without `access control` xl2tpd lets
    others in too; here only where a section lists no addresses, which is what its manual says."""
    control = shared.last("access control")
    free = control is None or not control.boolean()
    result: dict[str, list[Span]] = {}
    taken: list[Span] = []
    ordered = [one for one in reversed(sections) if one.name.lower() != "default"]
    ordered += [one for one in sections if one.name.lower() == "default"]
    for number, section in enumerate(ordered):
        listed = spans(section.all("lac", "no lac"))
        if free and number == len(ordered) - 1 and not section.all("lac", "no lac"):
            listed = [_ALL]
        result[section.name] = listed if listed == [_ALL] else without(listed, taken)
        taken += listed
    return result


def _prefixes(pieces: list[Span]) -> list[str]:
    return [str(prefix) for first, last in pieces
            for prefix in summarize_address_range(IPv4Address(first), IPv4Address(last))]


def _note_others(section: Section, block: Block) -> None:
    for option in section.options:
        if option.name in NOTES and (option.value.lower() not in ("no", "n", "false")):
            block.notes.append(f"{option.place}: {option.name} = {option.value}: {NOTES[option.name]}")


def _notes(block: Block) -> list[str]:
    return block.notes + [note for inner in block.blocks for note in _notes(inner)]


__all__ = ["AUTH_FILE", "DEBUG", "NOTES", "OPTIONS", "Converted", "Option", "Place", "convert", "files_named"]
