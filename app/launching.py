"""torchrun: the same verb in several processes of this machine, which then work as one."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

NONE, TORCHRUN = "none", "torchrun"
LAUNCHERS = (NONE, TORCHRUN)
LAUNCH = Path(__file__).resolve().parents[1] / "launch.py"
OURS = ("--launcher", "--processes")  # options that the processes themselves are not given


def is_due(launcher: str) -> bool:
    """Whether torchrun is asked for and this process is not one of its."""
    return launcher == TORCHRUN and "TORCHELASTIC_RUN_ID" not in os.environ


def run(arguments: Sequence[str], processes: int) -> int:
    """`launch.py ARGUMENTS` in so many processes (0: one for each GPU, or for each core); their exit code.

    SIGTERM is handed on to torchrun, which ends them and comes back.
    """
    number = str(processes or "auto")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", number]
    environment = environment_for(os.environ, processes)
    with subprocess.Popen([*command, str(LAUNCH), *without(arguments)], env=environment) as agent:
        before = signal.signal(signal.SIGTERM, lambda *_: agent.terminate())
        try:
            return agent.wait()
        except KeyboardInterrupt:  # the terminal told all of them
            return agent.wait()
        finally:
            signal.signal(signal.SIGTERM, before)


def without(arguments: Sequence[str]) -> list[str]:
    """The arguments without those that say how to launch."""
    kept, skipped = [], False
    for argument in arguments:
        if skipped or argument.startswith(tuple(f"{name}=" for name in OURS)):
            skipped = False
        elif argument in OURS:
            skipped = True
        else:
            kept.append(argument)
    return kept


def environment_for(environment: Mapping[str, str], processes: int) -> dict[str, str]:
    """With a share of the cores for each process; a verb that is told nothing else starts no further processes."""
    threads = max(1, (os.cpu_count() or 1) // (processes or os.cpu_count() or 1))
    return {"OMP_NUM_THREADS": str(threads), **environment}
