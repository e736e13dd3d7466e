"""`serve`: starts the page and the worker as two processes, starts again whichever ends, and ends both when asked to."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from app import processes

LONGEST_PAUSE = 10.0
STEADY_SECONDS = 30.0
PAGE_FIRST_SECONDS = 1.0  # for the browser to fetch the first image


class Child:
    """One supervised process and how often it ended of late."""

    def __init__(self, name: str, arguments: list[str]) -> None:
        self.name = name
        self.arguments = arguments
        self.pause = 0.5
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(processes.LAUNCH), *self.arguments]
        self.process = subprocess.Popen(command, env=processes.told_of_us(os.environ))
        self.started_at = time.monotonic()
        self.restart_at: float | None = None

    def look(self, now: float) -> int | None:
        """Start again after a pause that doubles; returns the exit code when the process refuses to run at all (2)."""
        code = self.process.poll()
        if code is None:
            return None
        if code == 2:
            return code
        if self.restart_at is None:
            self.pause = 0.5 if now - self.started_at > STEADY_SECONDS else min(self.pause * 2, LONGEST_PAUSE)
            self.restart_at = now + self.pause
            print(f"the {self.name} ended with code {code}; it starts again in {self.pause:g} s", file=sys.stderr)
        elif now >= self.restart_at:
            self.start()
        return None


def run(workspace: Path, *, address: tuple[str, int], page_arguments: list[str], worker_arguments: list[str]) -> int:
    """Supervise until SIGINT or SIGTERM; returns the exit code for the shell.

    The worker starts once the page answers: people see the first image before torch is imported.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    host, port = address
    common = ["--workspace", str(workspace)]
    children = [Child("page", ["page", *common, "--host", host, "--port", str(port), *page_arguments])]
    began = time.monotonic()
    try:
        while True:
            if len(children) == 1 and (answers(address) or time.monotonic() - began > LONGEST_PAUSE):
                time.sleep(PAGE_FIRST_SECONDS)
                children.append(Child("worker", ["worker", *common, *worker_arguments]))
            for child in children:
                code = child.look(time.monotonic())
                if code is not None:
                    return code
            time.sleep(0.2)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(children)


def answers(address: tuple[str, int]) -> bool:
    """Whether something listens there."""
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(address) == 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end(children: list[Child]) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    deadline = time.monotonic() + 5
    for child in children:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
