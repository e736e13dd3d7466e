"""The page as a process of its own, as `serve` starts it, and a self-made certificate for it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path, name: str = "ours", *more: str) -> tuple[Path, Path]:
    """A certificate for localhost and 127.0.0.1, signed by itself, and its key; without openssl the test is skipped."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl is installed, TLS is not tried")
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(cert), *(more or ["-nodes"])]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@contextmanager
def page(workspace: Path, port: int, *options: str) -> Iterator[None]:
    """`launch.py page` until the block ends."""
    command = [sys.executable, "launch.py", "page", "--workspace", str(workspace), "--port", str(port), *options]
    with running(command, port):
        yield


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A process that listens on a port of this machine; what it says is shown when it ends too soon."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "RAUM_PARENT": str(os.getpid())}
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"{command} does not listen: {process.communicate()[0].decode()}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
