"""Many jobs over several processes; the results do not depend on how many."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

JobT = TypeVar("JobT")
JobT_contra = TypeVar("JobT_contra", contravariant=True)
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class JobRunner(Protocol[JobT_contra, ResultT_co]):
    """Keeps in its process what one job leaves for the next."""

    def run(self, job: JobT_contra) -> ResultT_co: ...


def progress_bar() -> Progress:
    """Returns a bar on standard error: tables go to standard output."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))


def run_jobs(
    make: Callable[[], JobRunner[JobT, ResultT]],
    jobs: Sequence[JobT],
    processes: int,
    progress: Progress,
) -> dict[JobT, ResultT]:
    """Returns results in the order of `jobs`; raises the error of a job.

    make: makes the runner of one process; it is pickled, as jobs and results are. processes: 1 runs
    everything in this process.
    """
    task = progress.add_task("replaying", total=len(jobs))
    found = {}
    for job, result in _finished(make, jobs, processes):
        found[job] = result
        progress.advance(task)
    return {job: found[job] for job in jobs}


def _finished(
    make: Callable[[], JobRunner[JobT, ResultT]], jobs: Sequence[JobT], processes: int
) -> Iterator[tuple[JobT, ResultT]]:
    if processes == 1:
        runner = make()
        for job in jobs:
            yield job, _limited(runner, job)
        return
    # A forked child would inherit the embedder's threads half alive.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (make,)) as pool:
        waiting = {pool.submit(_work, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _limited(runner: JobRunner[JobT, ResultT], job: JobT) -> ResultT:
    """Runs one job on one thread, as the service does: its matrices are small."""
    with threadpool_limits(limits=1):
        return runner.run(job)


_runner: list[Any] = []


def _begin(make: Callable[[], JobRunner[Any, Any]]) -> None:
    _runner.append(make())


def _work(job: Any) -> Any:
    return _limited(_runner[0], job)
