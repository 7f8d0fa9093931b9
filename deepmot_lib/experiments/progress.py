"""A line for each finished job of a workflow: what came of it, how long it took, and when all will end."""

from __future__ import annotations

import csv
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from logging import WARNING, LogRecord
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import NamedTuple

#: The name under which Snakemake finds the handler.
PLUGIN = "deepmot"
_USUAL = ("none", "release")  # parameters that go without saying
_NUMBERS = ("seed", "steps")  # and those that say nothing without their names


class Job(NamedTuple):
    """A job that was started: its rule, its name, the files that it makes and the time [s]."""

    rule: str
    name: str
    outputs: tuple[str, ...]
    started: float


@dataclass
class Progress:
    """The jobs of a run, as far as they are known.

    Attributes:
        counts: The number of jobs of each rule.
        root: The folder that outputs are relative to.
        running: Started jobs by id.
    """

    counts: Mapping[str, int]
    root: Path = Path()
    running: dict[int, Job] = field(default_factory=dict)
    _seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _begun: float | None = None

    def start(self, number: int, job: Job) -> None:
        """Note that a job was started."""
        self.running[number] = job
        self._begun = job.started if self._begun is None else self._begun

    def finish(self, number: int, now: float) -> str | None:
        """Note that a job has finished, and return its line; None for one that was never started."""
        job = self.running.pop(number, None)
        if job is None:
            return None
        self._seconds[job.rule].append(now - job.started)
        done, total = sum(map(len, self._seconds.values())), sum(self.counts.values())
        parts = [result(self.root / output for output in job.outputs), duration(now - job.started)]
        left = self.left(now)
        if done < total:
            form = "%H:%M" if left < 12 * 3600 else "%a %H:%M"
            parts.append(f"all ends about {time.strftime(form, time.localtime(now + left))}")
        return f"[{done}/{total}] {job.name} ... {', '.join(filter(None, parts))}"

    def left(self, now: float) -> float:
        """Return the seconds that are left.

        A rule's jobs are taken to last as long as those before them, and to run as many at a time.
        """
        every = [seconds for times in self._seconds.values() for seconds in times]
        missing = Counter(self.counts) - Counter({rule: len(times) for rule, times in self._seconds.items()})
        under_way = sum(now - job.started for job in self.running.values())
        work = sum(count * fmean(self._seconds[rule] or every) for rule, count in missing.items()) - under_way
        elapsed = now - (now if self._begun is None else self._begun)
        at_a_time = (sum(every) + under_way) / max(elapsed, 1e-9)
        return max(work, 0.0) / max(at_a_time, 1.0)


def name_of(rule: str, outputs: Iterable[str], wildcards: Mapping[str, str]) -> str:
    """Name a job by the number of its notebook and its parameters, or by its notebook, or by its rule."""
    stem = next((Path(output).stem for output in outputs if output.endswith(".ipynb")), rule)
    if not wildcards or "name" in wildcards:
        return stem.replace("_", " ")
    told = [f"{key} {value}" if key in _NUMBERS else value for key, value in wildcards.items()]
    return " ".join([stem.partition("_")[0], *(word for word in told if word not in _USUAL)])


def result(files: Iterable[Path]) -> str:
    """Return the main measure in the tables of a job, empty where there is none."""
    for file in files:
        if file.suffix == ".csv" and file.is_file():
            with file.open(newline="") as table:
                rows = list(csv.DictReader(table))
            if file.name.startswith("tracker_"):
                return f"MOTA {100 * float(rows[-1]['MOTA']):.1f}"
            if file.name.startswith("dhn_"):
                return f"WA {float(rows[0]['WA']):.1f}"
    return ""


def duration(seconds: float) -> str:
    """Write a time in the unit that fits: "14 s", "3 min", "5.2 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def register(root: Path, logs: Path) -> None:
    """Let Snakemake, with ``--logger deepmot``, print these lines in place of its own.

    Args:
        root: The folder that Snakemake works in.
        logs: That of the jobs' logs.
    """
    from snakemake_interface_logger_plugins.base import LogHandlerBase
    from snakemake_interface_logger_plugins.common import LogEvent
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    class LogHandler(LogHandlerBase):
        """Prints a line for each finished job, and warnings and errors as they are."""

        writes_to_stream, writes_to_file, needs_rulegraph = True, False, False
        has_filter = has_formatter = True

        def __post_init__(self) -> None:
            self.progress = Progress({}, root)

        def emit(self, record: LogRecord) -> None:
            """Print what a record has to tell."""
            if line := self._line(record, getattr(record, "event", None)):
                print(line, file=sys.stderr, flush=True)

        def _line(self, record: LogRecord, event: str | None) -> str | None:
            about = record.__dict__
            if event == LogEvent.RUN_INFO:
                stats = {rule: int(count) for rule, count in about["stats"].items()}
                self.progress.counts = {key: stats[key] for key in stats if key not in ("all", "total")}
                return f"{sum(self.progress.counts.values())} jobs; each has its log in {logs}"
            if event == LogEvent.JOB_INFO and about["rule_name"] != "all":
                rule, outputs = about["rule_name"], tuple(about["output"])
                name = name_of(rule, outputs, about["wildcards"] or {})
                self.progress.start(about["jobid"], Job(rule, name, outputs, record.created))
            elif event == LogEvent.JOB_FINISHED:
                return self.progress.finish(about["job_id"], record.created)
            elif event == LogEvent.JOB_ERROR:
                job = self.progress.running.pop(about["jobid"], None)
                return (
                    f"failed: {job.name if job else about['rule_name']}; {' '.join(about['log'])} tells why"
                )
            elif event is None and (record.levelno >= WARNING or "Nothing to be done" in record.getMessage()):
                return record.getMessage()
            return None

    module = ModuleType(f"snakemake_logger_plugin_{PLUGIN}")
    module.LogHandler = LogHandler  # type: ignore[attr-defined]
    LoggerPluginRegistry().register_plugin(module.__name__, module)
