"""Run a command in a guest: a kernel of our own, the host's files below a throw-away overlay.

What the command writes is gone afterwards, except below shared directories. /tmp, /run and /dev/shm are the guest's
own; the project and the kernel's modules are seen wherever they are.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.kernel.bed.kernels import Kernel
from tests.kernel.bed.making import LOADED
from tools.prepare import ROOT, Problem, say

TIMED_OUT, DIED = 124, 125
"""Exit statuses for a command that did not end in time, and for a guest that ended without one."""
PASSED = [
    "HOME",
    "PATH",
    "LANG",
    "LC_ALL",
    "TERM",
    "CI",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "VIRTUAL_ENV",
    "PYTEST_ADDOPTS",
    "XDG_CACHE_HOME",
]
"""Variables that a command finds in its guest, when they are set; those that begin with PROL2TP_ too."""
_HIDDEN = ("/tmp", "/run", "/dev/shm")
_MEMORY_FILES = ("/dev/shm", "/tmp", "/var/tmp")
_JOBS, _PREFIX = Path("/var/tmp"), "prol2tp-guest-"
_CPU_LOCK = "prol2tp-guest-cpu{}.lock"
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Options:
    """How a guest runs: seconds until it is ended, memory in MB, virtual time, directories of the host shared."""

    seconds: float = 600
    memory: int = 1024
    virtual_time: bool = False
    shares: Sequence[Path] = field(default_factory=tuple)


def run(kernel: Kernel, command: Sequence[str], options: Options) -> int:
    """Run the command; its output to ours, its exit status, or `TIMED_OUT` or `DIED` with the console's last words."""
    if options.virtual_time and kernel.flavour != "uml":
        raise Problem(f"virtual time is of the kernel uml, not of {kernel.flavour}")
    _raise_descriptors()
    _sweep()
    job = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_JOBS))
    try:
        _describe(job, kernel, command, options)
        return _boot(job, kernel, options)
    finally:
        shutil.rmtree(job, ignore_errors=True)


def _sweep() -> None:
    """Remove what runs left that were killed."""
    for path in _JOBS.glob(f"{_PREFIX}*-*"):
        if not Path("/proc", path.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(path, ignore_errors=True)


def _raise_descriptors() -> None:
    """hostfs holds a descriptor of the host for every file that the guest has in its cache."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _describe(job: Path, kernel: Kernel, command: Sequence[str], options: Options) -> None:
    """What the guest's init reads."""
    variables = {name: value for name, value in os.environ.items()
                 if name in PASSED or name.startswith("PROL2TP_")}  # fmt: skip
    variables["PROL2TP_GUEST"] = "virtual" if options.virtual_time else kernel.flavour
    if not sys.stdout.isatty():
        variables["TERM"] = "dumb"
    keep = [path for path in (ROOT, kernel.directory) if str(path).startswith(_HIDDEN)]
    texts = {
        "environment": "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()),
        "command": (command[0] if len(command) == 1 else shlex.join(command)) + "\n",
        "directory": f"{Path.cwd()}\n",
        "keep": "".join(f"{path}\n" for path in keep),
        "shares": "".join(f"{path}\n" for path in [job, *options.shares]),
        "modules": f"MODULES={shlex.quote(kernel.modules)} LOAD='{' '.join(LOADED)}'\n",
    }
    for name, text in texts.items():
        (job / name).write_text(text)
    shutil.copy(Path(__file__).with_name("init"), job / "init")
    (job / "init").chmod(0o755)


def _user_mode(job: Path, kernel: Kernel, options: Options) -> list[str]:
    words = [
        str(kernel.image), "root=/dev/root", "rootfstype=hostfs", "ro", f"mem={options.memory}M", "con=null",
        "con0=null,fd:2", "con1=fd:0,fd:1", "ssl=null", f"uml_dir={job}/", f"init={job}/init", f"job={job}",
        f"kind={kernel.flavour}",
    ]  # fmt: skip
    return [*words, "time-travel"] if options.virtual_time else words


def _qemu(job: Path, kernel: Kernel, options: Options) -> list[str]:
    words = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(options.memory),
        "-display", "none", "-nodefaults", "-no-reboot", "-monitor", "none", "-serial", f"file:{job}/console",
        "-serial", "stdio", "-device", "virtio-rng-pci", "-kernel", str(kernel.image),
        "-initrd", str(kernel.directory / "initrd.cpio"),
        "-append", f"console=ttyS0 panic=-1 mitigations=off nokaslr random.trust_cpu=on job={job} kind=qemu",
    ]  # fmt: skip
    shared = [("root", Path("/"), ",readonly=on")]
    shared += [(f"share{number}", path, "") for number, path in enumerate([job, *options.shares])]
    for tag, path, more in shared:
        words += ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap{more}",
                  "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]  # fmt: skip
    return words


def _memory_directory(megabytes: int) -> str:
    """Where user-mode Linux can keep the file that is its memory; it must allow to execute what is in it."""
    for name in _MEMORY_FILES:
        with contextlib.suppress(OSError):
            found = os.statvfs(name)
            if found.f_bavail * found.f_frsize > megabytes << 20 and not found.f_flag & os.ST_NOEXEC:
                return name
    raise Problem(f"none of {', '.join(_MEMORY_FILES)} has room for a guest of {megabytes} MB")


def _boot(job: Path, kernel: Kernel, options: Options) -> int:
    words = (_qemu if kernel.flavour == "qemu" else _user_mode)(job, kernel, options)
    env = {**os.environ, "TMPDIR": _memory_directory(options.memory)}
    # the guest's processes become ours when their parents end: nobody else may be there to wait for them
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    cpu, lock = (None, None) if kernel.flavour == "qemu" else _cpu_of_its_own()
    pinned = [] if cpu is None else ["taskset", "-c", str(cpu)]
    with (job / "console").open("wb") as console:
        process = subprocess.Popen(
            [*pinned, *_bound_to_us(), *words], env=env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=console,
        )  # fmt: skip
    with _ended_with_us(process), lock or contextlib.nullcontext():
        output = threading.Thread(target=_pass_on, args=(process,), daemon=True)
        output.start()
        timed_out = False
        try:
            process.wait(options.seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
    output.join(5)
    status = job / "status"
    if not timed_out and status.exists():
        return int(status.read_text())
    why = f"not ended within {options.seconds:g} s" if timed_out else f"the guest died ({process.returncode})"
    last = (job / "console").read_text(errors="replace").splitlines()[-50:]
    say("\n".join([f"{kernel.flavour} {kernel.version}: {why}; last words of its console:", *last]))
    return TIMED_OUT if timed_out else DIED


def _cpu_of_its_own() -> tuple[int, IO[bytes]] | tuple[None, None]:
    """A CPU that no other guest has, and its lock. User-mode Linux and the process that it runs take turns at every
    system call: on one CPU that is a switch, on two it wakes a sleeping one each time, which is up to ten times slower
    in a virtual machine."""
    for cpu in sorted(os.sched_getaffinity(0)):
        try:
            lock = (_JOBS / _CPU_LOCK.format(cpu)).open("ab")
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return cpu, lock
    return None, None


def _bound_to_us() -> list[str]:
    """Ends the guest's processes, which are several, with this one however it ends: they have a namespace of their own,
    in which a shell is the first process (what a kernel does when it panics, the first cannot do to itself)."""
    words = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid():
        return words
    words += ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*words, "sh", "-c", '"$@"; exit $?', "sh"]


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """However the block is left, no process of the guest is left."""

    def terminated(number: int, frame: object) -> None:
        sys.exit(128 + number)

    before = [(number, signal.signal(number, terminated)) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        for number, action in before:
            signal.signal(number, action)


def _pass_on(process: subprocess.Popen[bytes]) -> None:
    """What the command prints. (Were our own stdout its terminal, it would be made non-blocking for others.)"""
    assert process.stdout is not None
    while data := process.stdout.read1(65536):  # type: ignore[attr-defined]
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
