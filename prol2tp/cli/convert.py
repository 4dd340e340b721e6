"""prol2tp-convert(1): configurations of other programs, turned into ours.

Exit codes: 0 all was converted, 1 nothing was written, 2 usage, 3 written, and some options want to be looked at.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from prol2tp import __version__
from prol2tp.cli.program import open_streams
from prol2tp.config.problems import shown
from prol2tp.convert.source import File, Refused
from prol2tp.convert.xl2tpd import convert, files_named

DONE, FAILED, USAGE, LOOK = 0, 1, 2, 3
NAMES = ("prol2tpd.conf", "propppd.conf")
LARGEST = 16 * 1024 * 1024


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    made = _Parser("prol2tp-convert", description="Turn configurations of others into ours.", allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"prol2tp-convert {__version__}")
    kinds = made.add_subparsers(dest="kind", metavar="xl2tpd", required=True)
    one = kinds.add_parser("xl2tpd", help="xl2tpd.conf with pppd's options and secrets", allow_abbrev=False)
    one.add_argument("file", metavar="FILE", help="xl2tpd.conf")
    one.add_argument("--ppp-options", nargs="+", action="extend", default=[], metavar="FILE",
                     help="option files of pppd, instead of those that FILE names; matched by their last name")
    one.add_argument("--secrets", nargs="+", action="extend", default=[], metavar="FILE",
                     help="files of secrets: chap-secrets, pap-secrets, l2tp-secrets; also with commas between")
    one.add_argument("--output", default=".", metavar="DIR", help="where to write prol2tpd.conf and propppd.conf")
    one.add_argument("--force", action="store_true", help="replace files that are there")
    return made


def read(name: str) -> File:
    """Raises `Refused`."""
    try:
        with open(name, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Refused(f"{shown(name, 200)}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise Refused(f"{shown(name, 200)}: larger than {LARGEST} octets; that is no configuration")
    try:
        return File(name, data.decode())
    except UnicodeDecodeError:
        raise Refused(f"{shown(name, 200)}: this is no text in UTF-8") from None


def _option_files(named: Sequence[str], given: Sequence[str]) -> dict[str, File]:
    """Those that xl2tpd.conf names by their names there; of those that exist here, unless one is given instead."""
    by_name = {os.path.basename(path): path for path in given}
    files = {path: read(path) for path in given}
    for name in named:
        path = by_name.get(os.path.basename(name), name)
        if path in files or os.path.exists(path):
            files[name] = files[path] if path in files else read(path)
    return files


def _secrets(auth_file: str, given: Sequence[str]) -> tuple[list[File], list[File]]:
    """Of tunnels, and of users: told apart by the name."""
    paths = [path for one in given for path in one.split(",") if path]
    of_tunnels = [path for path in paths if "l2tp" in os.path.basename(path) or path == auth_file
                  or os.path.basename(path) == os.path.basename(auth_file)]
    if not of_tunnels and os.path.exists(auth_file):
        of_tunnels = [auth_file]
    return [read(path) for path in of_tunnels], [read(path) for path in paths if path not in of_tunnels]


def write(directory: str, texts: Sequence[str], force: bool) -> None:
    """Both files or none, for their owner alone: there are secrets in them. Raises `Refused`."""
    paths = [os.path.join(directory, name) for name in NAMES]
    for path in paths:
        if os.path.lexists(path) and not force:
            raise Refused(f"{shown(path, 200)}: is there already; --force replaces it, --output DIR writes elsewhere")
    try:
        os.makedirs(directory, exist_ok=True)
        for path, text in zip(paths, texts, strict=True):
            new = f"{path}.{os.getpid()}"
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(new, path)
    except OSError as error:
        raise Refused(f"{shown(directory, 200)}: {error.strerror}") from None


def run(words: Sequence[str]) -> int:
    options = parser().parse_args(words)
    try:
        config = read(options.file)
        named, auth_file = files_named(config)
        tunnel_secrets, user_secrets = _secrets(auth_file, options.secrets)
        result = convert(config, _option_files(named, options.ppp_options), tunnel_secrets, user_secrets)
        write(options.output, (result.prol2tpd, result.propppd), options.force)
    except Refused as error:
        print(f"prol2tp-convert: {_printable(str(error))}", file=sys.stderr)
        return FAILED
    print("written: " + ", ".join(_printable(os.path.join(options.output, name)) for name in NAMES))
    for note in result.notes:
        print(f"look at: {_printable(note)}", file=sys.stderr)
    return LOOK if result.notes else DONE


def _printable(text: str) -> str:
    """Names of files come from files."""
    return "".join(c if c.isprintable() else "?" for c in text)


def main() -> NoReturn:
    open_streams()
    sys.exit(run(sys.argv[1:]))
