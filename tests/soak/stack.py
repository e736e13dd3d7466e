"""Page and worker as `launch.py serve` starts them, and kill -9 of any of them at any moment."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("page", "worker")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """`launch.py serve` over one workspace, in a process group of its own."""

    def __init__(self, workspace: Path) -> None:
        self.workspace, self.port = workspace, free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.known: dict[str, int] = {}  # the parts last seen
        command = [sys.executable, str(ROOT / "launch.py"), "serve", "--workspace", str(self.workspace)]
        with (self.workspace / "serve.log").open("ab") as out:
            self.serve = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=out, stderr=out, start_new_session=True
            )

    def kill(self, what: str, moment: Callable[[], object]) -> bool:
        """Kill -9 "all" processes at once, as a power cut does, or one of "serve", "page" and "worker", after `moment`.

        A part that runs is killed also before it serves; after "all" and "serve" the program is started again. Returns
        whether something was still starting up.
        """
        running = self.parts()
        starting = len(running) < len(PARTS) or any(not self.serves(part, pid) for part, pid in running.items())
        moment()
        if what == "all":
            os.killpg(self.serve.pid, signal.SIGKILL)
        elif what == "serve":
            self.serve.kill()
        elif what in running:
            with suppress(ProcessLookupError):
                os.kill(running[what], signal.SIGKILL)
        if what in ("all", "serve"):
            self.serve.wait()
        return starting

    def go_on(self) -> None:
        """Start the program again after it was killed itself, once nothing of it is left."""
        self.wait(lambda: not any(map(alive, self.known.values())), "the parts of a killed serve end")
        self.wait(lambda: not self.answers(), "nobody serves any more")
        self.start()

    def parts(self) -> dict[str, int]:
        """The pids of the page and the worker, also of those that have only just been started."""
        told = subprocess.run(["ps", "-Aww", "-o", "pid=,ppid=,args="], stdout=subprocess.PIPE, text=True, check=True)
        found = {}
        for line in told.stdout.splitlines():
            pid, parent, *words = line.split()
            verb = next((part for part in PARTS if part in words[:4]), None)
            if verb and int(parent) == self.serve.pid:
                found[verb] = int(pid)
        self.known |= found
        return found

    def serves(self, part: str, pid: int) -> bool:
        """Whether this process holds its role already."""
        try:
            return (self.workspace / f"{part}.pid").read_text(encoding="utf-8") == str(pid)
        except FileNotFoundError:
            return False

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}\n{self.told()}")
            time.sleep(0.2)

    def told(self) -> str:
        """What the program wrote, whether it runs, and what runs beside it."""
        command = ["ps", "-Aww", "-o", "pid,ppid,stat,etimes,wchan:20,args"]
        beside = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
        said = (self.workspace / "serve.log").read_text(encoding="utf-8")[-3000:]
        return f"serve is {self.serve.pid}, ended with {self.serve.poll()}\n{said}\n{beside}"

    def end(self) -> None:
        self.serve.terminate()
        self.serve.wait(120)


def alive(pid: int) -> bool:
    """Whether a process that is not a child of ours still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
