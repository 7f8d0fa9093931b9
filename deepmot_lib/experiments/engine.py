"""The process that runs a workflow, and jobs that end with it.

A killed workflow would otherwise leave jobs that go on writing what the next one writes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

import psutil

#: The variable that names the workflow's process to its jobs.
ENGINE = "DEEPMOT_ENGINE"
_POLL_S = 0.5
_CLOCK_S = 5.0


def process_name(pid: int) -> str:
    """Name a process so that no later one has the same name: its id and when it started."""
    return f"{pid} {psutil.Process(pid).create_time()}"


def end_with(engine: str) -> None:
    """End this process and all below it, at once, when another process is gone.

    Args:
        engine: What ``process_name`` returned for that process.
    """
    process = _find(engine)

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            while process and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(_POLL_S)
        print("the workflow that started this job is gone", file=sys.stderr, flush=True)
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with the workflow").start()


def _find(name: str) -> psutil.Process | None:
    pid, started = name.split(" ")
    try:
        process = psutil.Process(int(pid))
    except psutil.NoSuchProcess:
        return None
    # A start is reckoned from the clock, which may have been set since.
    return process if abs(process.create_time() - float(started)) < _CLOCK_S else None
