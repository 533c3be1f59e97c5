"""Runs the survey workflow in this process, one job after the other.

A job of Snakemake's own takes a second or more to start, five with TensorFlow; for a folder of spectra that
is most of the time. Rules, scripts and Snakemake's records are those of a survey, so that a later run on a
cluster goes on from them.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from snakemake.cli import args_to_api, parse_args
from snakemake.executors.local import Executor, common_settings
from snakemake.iocontainers import Snakemake
from snakemake.logging import logger
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from starsift.errors import ResultsError
from starsift.logs import output_returned
from starsift.resources import workflow_root

NAME = "inprocess"
Report = Callable[[str, int, int], None]


class InProcess(Executor):
    """Executes the scripts of rules in a thread of this process.

    Attributes
    ----------
    report : called with a rule, and how many of how many of its jobs are done
    failures : rule and error of jobs that failed
    """

    report: Report = staticmethod(lambda rule, done, total: None)
    failures: ClassVar[list[tuple[str, BaseException]]] = []
    done: ClassVar[Counter[str]] = Counter()
    cancelled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        # One at a time: a script may use all cores, and Numba's threads are not safe side by side.
        self.pool = ThreadPoolExecutor(max_workers=1)

    def run_single_job(self, job: Any) -> "Future[None]":
        self.job_args_and_prepare(job)
        return self.pool.submit(self._execute, job)

    def _execute(self, job: Any) -> None:
        name = job.rule.name
        total = sum(other.rule.name == name for other in self.dag.needrun_jobs())
        self.report(name.replace("_", ": ", 1), self.done[name], total)
        path = Path(job.rule.basedir.get_path_or_uri(secret_free=True), job.rule.script).resolve()
        given = Snakemake(
            job.input,
            job.output,
            job.params,
            job.wildcards,
            job.threads,
            job.resources,
            job.log,
            self.workflow.globals["config"],
            job.rule.name,
            None,
            path.parent,
        )
        with output_returned():
            exec(compile(path.read_text(), path, "exec"), {"__name__": "__main__", "snakemake": given})
        self.done[name] += 1
        self.report(name.replace("_", ": ", 1), self.done[name], total)

    def cancel(self) -> None:
        type(self).cancelled = True
        super().cancel()

    def _callback(self, job_info: SubmittedJobInfo, future: "Future[None]") -> None:
        error = future.exception()
        if error is None:
            self.report_job_success(job_info)
        else:
            type(self).failures.append((job_info.job.rule.name, error))
            self.report_job_error(job_info)


def run_workflow(
    folder: Path, settings: Path, targets: Sequence[str], report: Report, *, again: Sequence[str] = ()
) -> dict[str, BaseException]:
    """Make files of a survey's workflow in this process.

    Parameters
    ----------
    folder : in which results/ is
    settings : file
    targets : files to make, relative to the folder
    report : called with a rule, and how many of how many of its jobs are done
    again : rules whose jobs run also where their files are there

    Returns the errors of jobs that failed, by rule: what does not depend on them is made. Raises ResultsError
    where Snakemake itself failed.
    """
    plugin = SimpleNamespace(Executor=InProcess, common_settings=common_settings)
    ExecutorPluginRegistry().register_plugin(NAME, plugin)
    InProcess.report, InProcess.failures, InProcess.done = staticmethod(report), [], Counter()
    InProcess.cancelled = False
    words = ["--snakefile", str(workflow_root() / "Snakefile"), "--configfile", str(settings)]
    words += ["--directory", str(folder), "--executor", NAME, "--cores", "all", "--keep-going"]
    words += ["--rerun-incomplete", "--workflow-profile", "none"]
    words += ["--forcerun", *again] if again else []
    errors = _Errors()
    logger.addFilter(errors)
    try:
        parser, arguments = parse_args([*words, "--", *targets])
        done = _outside_loop(lambda: args_to_api(arguments, parser))
    finally:
        logger.removeFilter(errors)
    if InProcess.cancelled and not InProcess.failures:
        raise KeyboardInterrupt
    if not done and any("LockException" in message or "locked" in message for message in errors.messages):
        raise ResultsError(
            f"{folder}: another run is at work there; if none is, because one was killed, remove "
            f"{folder / '.snakemake/locks'} and run again"
        )
    if not done and not InProcess.failures:
        raise ResultsError(" ".join(errors.messages) or "the workflow ended before its results were made")
    return dict(InProcess.failures)


def _outside_loop(work: Callable[[], bool]) -> bool:
    """Run Snakemake, in a thread of its own where this one runs an event loop, as in Jupyter."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


class _Errors(logging.Filter):
    """Keeps Snakemake's errors, and drops all else that it says: the progress is told by stage."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            self.messages.append(record.getMessage())
        return False
