"""Processes of one workspace: a role that only one may hold, a verb spawned as a child, and whether a parent has gone."""

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import filelock

from app import errors
from app.settings import Settings

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
PARENT = "RAUM_PARENT"  # environment variable
PARENT_SECONDS = 0.5  # between two looks whether it is there
TURN_SECONDS = 0.0005  # that a thread computes in Python while another one waits; Python's own: ten times as long
LAUNCH = Path(__file__).resolve().parents[1] / "launch.py"


def told_of_us(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process started by this one, which then knows by whom (see `parent`)."""
    return {**environment, PARENT: str(os.getpid())}


def child_environment() -> dict[str, str]:
    """The worker's own environment without its thread limits."""
    limits = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    return told_of_us({name: value for name, value in os.environ.items() if name not in limits})


def parent() -> int:
    """Pid of who started this process. The system cannot say once that one has ended, and imports take seconds."""
    return int(os.environ.get(PARENT, os.getppid()))


def keep_memory() -> None:
    """Tell glibc to keep the memory that is freed; other C libraries have no such switch and are left alone.

    A network frees and takes the same big blocks again and again. Handing them back to the kernel each time made
    embedding at 224 px two to three times slower on a small virtual machine.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def take_short_turns() -> None:
    """What people wait for shares Python with a thread that computes: whoever let go of it gets it back soon.

    A refresh lets go at every array and row. Beside a fit, each time cost it up to Python's usual 5 ms.
    """
    sys.setswitchinterval(TURN_SECONDS)


def settle() -> None:
    """What is in memory now is there to stay: from here on, Python looks for garbage only among what is new.

    With 100,000 images known, looking through all of it took 150 ms, at every seventh label.
    """
    gc.unfreeze()  # what stayed before may have gone since
    gc.collect()
    gc.freeze()


def parent_is_gone(parent: int) -> bool:
    """Whether the process that started this one has ended (POSIX tells by a new parent; elsewhere this is never known)."""
    return os.name == "posix" and os.getppid() != parent


def is_alive(pid: int) -> bool:
    """Whether a process of this machine goes on (known on POSIX; elsewhere False)."""
    if os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


class Ending:
    """A handler of SIGTERM: it interrupts what goes on, as Ctrl-C does, and remembers that it came.

    Python drops an exception that a signal raises inside a destructor: whoever works in a loop looks at `asked`, too.
    """

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self)

    def __call__(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt


def end_with(parent: int) -> None:
    """From now on, SIGTERM for this process as soon as `parent` is gone: also while it imports, or is in a long step.

    Otherwise it would keep its role, and the program started again would be refused, until it comes to look itself.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while not parent_is_gone(parent):
        time.sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def writable(workspace: Path) -> Path:
    """The folder, made where it is missing; raises BadRequest when nothing can be written there."""
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(workspace, os.W_OK | os.X_OK) else "it may only be read"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise errors.BadRequest(
            f"nothing can be written in {workspace} ({problem}): change that, or choose another --workspace"
        )
    return workspace


class only_one:
    """Holds the role `name` of a workspace; a second process of that role is refused with the first one's pid.

    `wait`: seconds that the first one may take to end.
    """

    def __init__(self, workspace: Path, name: str, *, wait: float = 0.0) -> None:
        self.name, self.workspace = name, workspace
        self.pid_file = workspace / f"{name}.pid"
        self.lock = filelock.FileLock(workspace / f"{name}.lock", timeout=wait)

    def __enter__(self) -> None:
        try:
            self.lock.acquire()
        except filelock.Timeout as busy:
            pid = self.pid_file.read_text(encoding="utf-8").strip() if self.pid_file.is_file() else ""
            raise errors.WorkspaceBusy(
                f"a {self.name} already serves {self.workspace} (pid {pid or 'unknown'}): stop it, or choose another --workspace"
            ) from busy
        with contextlib.suppress(OSError):  # a full disk: the lock alone does it
            self.pid_file.write_text(str(os.getpid()), encoding="utf-8")

    def __exit__(self, *_: object) -> None:
        self.pid_file.unlink(missing_ok=True)
        self.lock.release()


def ending(code: int) -> str:
    """How a process ended by a signal, as the exit code -signal tells."""
    why = ", as the system does when memory runs out" if code == -9 else ""  # SIGKILL, a name that Windows lacks
    return f"it was ended by signal {-code}{why},"


class Child:
    """One spawned verb of launch.py; what it complains goes to the workspace's logs."""

    def __init__(self, settings: Settings, verb: str, arguments: list[str], command_id: int | None) -> None:
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        self.command_id = command_id
        self.log_path = settings.log_dir / f"{verb}.log"
        command = [
            sys.executable,
            str(LAUNCH),
            verb,
            "--workspace",
            str(settings.workspace),
            "--child",
            *arguments,
        ]
        with self.log_path.open("ab") as out:
            self.began_at = out.tell()
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=child_environment()
            )

    def complaint(self, code: int) -> str:
        """How a signal ended the child, or the last line that it wrote."""
        if code < 0:
            return ending(code)
        with self.log_path.open("rb") as log_file:
            log_file.seek(self.began_at)
            lines = log_file.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"ended with code {code}; see {self.log_path}"
