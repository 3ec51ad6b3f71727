"""Many jobs over several processes; what comes out does not depend on how many."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

JobT = TypeVar("JobT")
JobT_contra = TypeVar("JobT_contra", contravariant=True)
DoneT = TypeVar("DoneT")
DoneT_co = TypeVar("DoneT_co", covariant=True)


class Works(Protocol[JobT_contra, DoneT_co]):
    """What a process keeps from job to job."""

    def run(self, job: JobT_contra) -> DoneT_co: ...


def run_all(
    make: Callable[[], Works[JobT, DoneT]], jobs: Sequence[JobT], processes: int
) -> Iterator[tuple[JobT, DoneT]]:
    """As they end; with one process in the order given, in this process.

    make: of each process's worker; it is pickled, as jobs and what they come to are. Raises what a
    job raises.
    """
    if processes == 1:
        worker = make()
        for job in jobs:
            with threadpool_limits(limits=1):  # as the service: its matrices are small
                done = worker.run(job)
            yield job, done
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


_worker: list[Any] = []


def _begin(make: Callable[[], Works[Any, Any]]) -> None:
    _worker.append(make())


def _work(job: Any) -> Any:
    with threadpool_limits(limits=1):
        return _worker[0].run(job)
