"""How each flavour of kernel is made of Debian's packages.

`umldeb`: the prebuilt user-mode Linux 6.1, and the L2TP modules that it lacks, built from its exact source.
`uml`: the 6.12 source, built as user-mode Linux with `uml.config`: everything built in, virtual time.
`qemu`: the distribution kernel 6.12 for whole machines, which QEMU emulates.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.prepare import Problem, need_packages, quietly, step

HERE = Path(__file__).parent
BUILD_TOOLS = ["gcc", "libc6-dev", "make", "flex", "bison", "bc", "xz-utils", "kmod"]
QEMU_TOOLS = ["qemu-system-x86", "busybox-static", "cpio", "kmod", "xz-utils", "zstd"]
LOADED = [
    "l2tp_core",
    "l2tp_netlink",
    "l2tp_ppp",
    "l2tp_eth",
    "l2tp_ip",
    "l2tp_ip6",
    "ppp_generic",
    "pppox",
    "pppoe",
    "ppp_async",
    "ppp_synctty",
    "ppp_mppe",
    "ppp_deflate",
    "bsd_comp",
    "8021q",
    "veth",
    "tun",
    "bridge",
    "dummy",
]
"""Modules that every guest loads at its start."""
ON_DEMAND = [
    "ifb",
    "macvlan",
    "sch_netem",
    "sch_tbf",
    "sch_htb",
    "sch_fq_codel",
    "sch_ingress",
    "cls_u32",
    "cls_fw",
    "cls_matchall",
    "act_police",
    "act_gact",
    "act_mirred",
    "nf_tables",
    "nft_ct",
    "nft_reject_inet",
    "nft_masq",
    "nft_limit",
    "nft_nat",
    "udp_diag",
    "raw_diag",
    "unix_diag",
]
"""Modules that the kernel of a guest loads when a program needs them."""
_BEFORE_ROOT = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_rng"]
_L2TP = {"# CONFIG_L2TP_V3 is not set": "CONFIG_L2TP_V3=y\nCONFIG_L2TP_IP=m\nCONFIG_L2TP_ETH=m"}

_ARCHITECTURES = [
    "alpha",
    "arc",
    "arm",
    "arm64",
    "csky",
    "hexagon",
    "ia64",
    "loongarch",
    "m68k",
    "microblaze",
    "mips",
    "nios2",
    "openrisc",
    "parisc",
    "powerpc",
    "riscv",
    "s390",
    "sh",
    "sparc",
    "xtensa",
]
_DRIVERS = [
    "gpu",
    "media",
    "infiniband",
    "staging",
    "scsi",
    "iio",
    "usb",
    "mmc",
    "clk",
    "pinctrl",
    "net/wireless",
    "net/ethernet",
    "soc",
    "crypto",
    "accel",
    "mtd",
    "hwmon",
    "regulator",
]
_FILE_SYSTEMS = ["btrfs", "xfs", "ext4", "f2fs", "ocfs2", "gfs2", "nfs", "nfsd", "smb", "ceph", "bcachefs"]
# directories of the kernel's source whose files of C a build never opens; their Kconfig and Makefiles it reads
_UNREAD = [
    "Documentation",
    "sound",
    "tools/testing",
    "tools/perf",
    *(f"arch/{name}" for name in _ARCHITECTURES),
]
_UNREAD_BY_KERNEL = [
    *_UNREAD,
    *(f"drivers/{name}" for name in _DRIVERS),
    *(f"fs/{name}" for name in _FILE_SYSTEMS),
]
_UNREAD_BY_MODULES = [*_UNREAD, "drivers", "fs", "mm", "ipc", "block", "crypto", "samples", "rust"]


@dataclass(frozen=True)
class Recipe:
    """What a flavour is made of, and how."""

    image: str
    package: Callable[[], tuple[str, str]]
    """The Debian package that decides, and its version."""
    make: Callable[[str, str, Path, Path], None]
    """(package, version, directory for what is in the way, directory for the kernel)"""
    digested: Callable[[], bytes]
    """What else decides how the kernel comes out."""


# Debian's archive


def _field(package: str, name: str) -> str:
    words = ["apt-cache", "show", "--no-all-versions", package]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(rf"^{name}: (.+)$", done.stdout, re.M)
    if not found:
        raise Problem(f"the package lists know no {name} of {package}")
    return found[1]


def _package(name: str) -> Callable[[], tuple[str, str]]:
    return lambda: (name, _field(name, "Version"))


def _distribution_kernel() -> tuple[str, str]:
    words = ["apt-cache", "search", "-n", r"^linux-image-6\.12\..*-amd64-unsigned$"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    plain = [name for name in re.findall(r"^\S+", said, re.M) if not re.search("-(cloud|rt)-", name)]
    if not plain:
        raise Problem("the package lists have no linux-image-6.12")
    package = max(plain, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    return package, _field(package, "Version")


def _download(package: str, version: str, work: Path) -> Path:
    with step(f"downloading {package} {version}"):
        quietly(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", f"{package}={version}"], package,
                directory=work)  # fmt: skip
    return next(work.glob(f"{package}_*.deb"))


def _unpack(package: Path, into: Path) -> None:
    quietly(["dpkg-deb", "-x", package, into], package.name)
    package.unlink()


def _source(package: str, version: str, work: Path, unread: Iterable[str]) -> Path:
    """The kernel's source, without files that the build does not open."""
    archive = _download(package, version, work)
    source = work / "source"
    source.mkdir()
    with step(f"unpacking {package}"):
        _unpack(archive, work / "archive")
        tarball = next((work / "archive").glob("usr/src/*.tar.xz"))
        left_out = [f"--exclude=*/{name}/*.{kind}" for name in unread for kind in ("[chS]", "dts*", "rst")]
        quietly(
            ["tar", "-xf", tarball, "-C", source, "--strip-components=1", "--wildcards", *left_out], package
        )
        shutil.rmtree(work / "archive")
    return source


def _build(source: Path, output: Path, *words: str, env: dict[str, str] | None = None) -> None:
    jobs = f"-j{os.cpu_count() or 1}"
    quietly(["nice", "make", "-s", "-C", source, "ARCH=um", f"O={output}", jobs, *words], "kernel", env)


# the flavours


def _make_uml(package: str, version: str, work: Path, result: Path) -> None:
    need_packages(BUILD_TOOLS)
    source = _source(package, version, work, _UNREAD_BY_KERNEL)
    output = work / "output"
    output.mkdir()
    with step("building user-mode Linux, once for this version"):
        _build(source, output, "allnoconfig", env={"KCONFIG_ALLCONFIG": str(HERE / "uml.config")})
        _build(source, output, "linux")
    quietly(["strip", "-o", result / "linux", output / "linux"], "kernel")
    shutil.copy(output / ".config", result / "config")


def _make_umldeb(package: str, version: str, work: Path, result: Path) -> None:
    need_packages(BUILD_TOOLS)
    built_using = re.search(r"\blinux \(= ([^)]+)\)", _field(package, "Built-Using"))
    if not built_using:
        raise Problem(f"{package} {version} does not say which source it was built of")
    _unpack(_download(package, version, work), work / "package")
    shutil.copy(work / "package/usr/bin/linux.uml", result)
    shutil.copytree(work / "package/usr/lib/uml/modules", result / "lib/modules")
    source = _source("linux-source-6.1", built_using[1], work, _UNREAD_BY_MODULES)
    configuration = gzip.decompress(
        (work / "package/usr/share/doc/user-mode-linux/config.gz").read_bytes()
    ).decode()
    for line, instead in _L2TP.items():
        configuration = configuration.replace(line, instead)
    output, modules = work / "output", work / "l2tp"
    output.mkdir()
    (output / ".config").write_text(configuration)
    with step("building the L2TP modules"):
        _build(source, output, "olddefconfig")
        _build(source, output, "modules_prepare")
        # outside the tree: inside, the headers of its trace points are not found
        shutil.copytree(source / "net/l2tp", modules)
        _build(source, output, f"M={modules}", "KBUILD_MODPOST_WARN=1", "modules")
    [directory] = (result / "lib/modules").iterdir()
    shutil.rmtree(directory / "kernel/net/l2tp")
    (directory / "updates").mkdir()
    for module in modules.glob("*.ko"):
        quietly(["strip", "-g", "-o", directory / "updates" / module.name, module], "modules")
    quietly(["depmod", "-b", result, directory.name], "modules")


def _make_qemu(package: str, version: str, work: Path, result: Path) -> None:
    need_packages(QEMU_TOOLS)
    unpacked = work / "package"
    _unpack(_download(package, version, work), unpacked)
    # in newer releases modules live below /usr
    if not (unpacked / "lib").exists():
        (unpacked / "lib").symlink_to("usr/lib")
    [directory] = (unpacked / "lib/modules").iterdir()
    release = directory.name
    quietly(["depmod", "-b", unpacked, release], "modules")
    kept = result / "lib/modules" / release
    for path in _with_dependencies(unpacked, release, [*_BEFORE_ROOT, *LOADED, *ON_DEMAND]):
        _plain_module(path, kept / path.relative_to(directory))
    for path in [directory / "modules.order", *directory.glob("modules.builtin*")]:
        shutil.copy(path, kept)
    quietly(["depmod", "-b", result, release], "modules")
    (result / "vmlinux").write_bytes(_elf((unpacked / f"boot/vmlinuz-{release}").read_bytes()))
    root = work / "initrd"
    for name in ("bin", "modules", "proc", "host", "space"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    shutil.copy(HERE / "init-qemu", root / "init")
    (root / "init").chmod(0o755)
    for number, path in enumerate(_with_dependencies(unpacked, release, _BEFORE_ROOT)):
        _plain_module(path, root / "modules" / f"{number:02}-{path.name}")
    quietly(
        ["sh", "-c", f"find . | cpio -o -H newc -R 0:0 >'{result}/initrd.cpio'"], "initrd", directory=root
    )


def _with_dependencies(root: Path, release: str, modules: Sequence[str]) -> list[Path]:
    """Files of the modules and of what they need, in the order of loading."""
    files: dict[str, None] = {}
    for module in modules:
        words = ["modprobe", "-d", str(root), "-S", release, "--show-depends", module]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Problem(f"{release} has no module {module}: {done.stderr.strip()}")
        files.update(dict.fromkeys(re.findall(r"^insmod (\S+)", done.stdout, re.M)))
    return [Path(name) for name in files]


def _plain_module(path: Path, target: Path) -> None:
    """A copy that busybox's insmod can read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".xz":
        target.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
    else:
        shutil.copy(path, target)


def _elf(image: bytes) -> bytes:
    """The kernel inside a bzImage (Documentation/arch/x86/boot.rst): QEMU enters it directly, and need not emulate
    its own decompression."""
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = image[start : start + length]
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload)
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        # its last four octets are its size
        done = subprocess.run(["zstd", "-dcq"], input=payload[:-4], capture_output=True, check=False)
        if done.stdout.startswith(b"\x7fELF"):
            return done.stdout
    raise Problem("the distribution kernel is packed in a way that is not known here")


FLAVOURS = {
    "umldeb": Recipe("linux.uml", _package("user-mode-linux"), _make_umldeb, lambda: repr(_L2TP).encode()),
    "uml": Recipe("linux", _package("linux-source-6.12"), _make_uml, (HERE / "uml.config").read_bytes),
    "qemu": Recipe("vmlinux", _distribution_kernel, _make_qemu,
                   lambda: repr([_BEFORE_ROOT, LOADED, ON_DEMAND]).encode() + (HERE / "init-qemu").read_bytes()),
}  # fmt: skip
