"""The laws of the layers (docs/architecture.md), read from the import statements of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = ("common", "l2tp", "ppp", "pppoe", "radius", "ipv6", "config", "convert")
ALSO = {"convert": ("config",)}
IMPURE = {
    "twisted",
    "zope",
    "socket",
    "os",
    "time",
    "random",
    "secrets",
    "threading",
    "asyncio",
    "subprocess",
    "pyroute2",
    "select",
    "selectors",
    "fcntl",
    "ctypes",
    "pathlib",
    "datetime",
    "uuid",
    "multiprocessing",
    "signal",
    "logging",
    "sys",
    "io",
    "tempfile",
    "shutil",
}
PYRAD = {"pyrad.packet", "pyrad.dictionary"}
# implementations of the data path: chosen by name where a process starts, used by nobody else
DATA_PATHS = {"prol2tp.dataplane.memory", "prol2tp.dataplane.userspace", "prol2tp.dataplane.linux"}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "prol2tp").rglob("*.py"))
}


def imports(module: str) -> Iterator[tuple[str, int]]:
    """Every name that a module imports, absolute, with its line; `from a import b` counts as a and as a.b."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source, node.lineno
            for alias in node.names:
                yield f"{source}.{alias.name}", node.lineno


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def offences(module: str) -> Iterator[str]:
    mine = layer(module)
    for name, line in imports(module):
        where = f"{MODULES[module].relative_to(ROOT)}:{line}: imports {name}"
        if mine in PURE:
            if name.split(".")[0] in IMPURE:
                yield f"{where}: pure packages know no clock, no chance, no system and no Twisted"
            if within(name, "pyrad") and (mine != "radius" or not within(name, "pyrad", *PYRAD)):
                yield f"{where}: only radius, and only pyrad's packets and dictionaries"
            if within(name, "prol2tp") and layer(name) not in ("", "common", mine, *ALSO.get(mine, ())):
                yield f"{where}: {mine} stands on common alone"
        # launch.py alone, the console entry points, names them all: each in its own process
        if mine == "daemons" and layer(name) == "daemons" and module != "prol2tp.daemons.launch":
            own, other = module.split(".")[2:3], name.split(".")[2:3]
            if other and (ROOT / "prol2tp" / "daemons" / other[0]).is_dir() and own != other:
                yield f"{where}: daemons meet through control/commands only"
        if mine != "cli" and within(name, "prol2tp.cli"):
            yield f"{where}: nobody imports the command-line tools"
        if mine == "cli":
            if within(
                name, "prol2tp.daemons", "prol2tp.net", "prol2tp.dataplane", "prol2tp.l2tp", "prol2tp.ppp"
            ):
                yield f"{where}: the command-line tools know the control channel, not what is behind it"
            if within(name, "twisted", "zope"):
                yield f"{where}: the command-line tools start without Twisted"
        if mine == "spool" and within(name, "prol2tp") and layer(name) not in ("", "spool"):
            yield f"{where}: the spool keeps octets and knows no protocol and no daemon"
        if mine == "aaa" and layer(name) in ("l2tp", "ppp", "pppoe", "ipv6"):
            yield f"{where}: aaa is for daemons of any protocol"
        if mine in ("net", "control", "dataplane") and within(name, "prol2tp.aaa"):
            yield f"{where}: aaa is above {mine}"
        if mine in ("net", "control", "dataplane", "aaa") and within(name, "prol2tp.daemons"):
            yield f"{where}: daemons are above {mine}"
        if (
            within(name, *DATA_PATHS)
            and mine not in ("dataplane",)
            and not within(module, "prol2tp.daemons.pathd")
        ):
            yield f"{where}: a data path is chosen by name, in the process that owns it"


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_the_laws_of_the_layers(module: str) -> None:
    assert list(offences(module)) == []


def test_the_laws_see_what_they_forbid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = ROOT / "prol2tp" / "l2tp" / "wrong.py"

    class Text(type(tmp_path)):  # type: ignore[misc]
        def read_text(self, *args: object, **kwargs: object) -> str:
            return (
                "import os.path\nfrom twisted.internet import reactor\nfrom ..ppp import lcp\n"
                "from prol2tp.cli import x"
            )

    monkeypatch.setitem(MODULES, "prol2tp.l2tp.wrong", Text(wrong))
    found = "\n".join(offences("prol2tp.l2tp.wrong"))
    for line in (1, 2, 3, 4):
        assert f"wrong.py:{line}:" in found


def test_package_init_files_hold_a_docstring_and_no_code() -> None:
    for module, path in MODULES.items():
        if path.name != "__init__.py" or module == "prol2tp":
            continue
        body = ast.parse(path.read_text()).body
        rest = [
            node for node in body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ]
        assert not rest, module


def test_modules_have_a_docstring_and_keep_their_size() -> None:
    for module, path in MODULES.items():
        text = path.read_text()
        if path.name != "__init__.py":
            assert ast.get_docstring(ast.parse(text)), f"{module}: no docstring"
        assert len(text.splitlines()) <= 600, f"{module}: two modules in one"
