"""Where jobs run: in this process, or in worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from bench.events import Emit

if TYPE_CHECKING:
    from bench.execute import Job
    from bench.metrics.base import Metric


def run_local(
    jobs: Sequence[Job], metrics: Mapping[str, Metric], emit: Emit, workers: int = 1
) -> None:
    """Run jobs on this machine.

    Args:
        jobs: Each is run by one worker.
        metrics: The registered metrics; workers register their own.
        emit: Told what happens, in this process.
        workers: Processes; 1 runs everything in this one.
    """
    if workers == 1 or len(jobs) <= 1:
        from bench.execute import run_job

        for job in jobs:
            run_job(job, metrics, emit)
        return
    context = multiprocessing.get_context("spawn")
    count = min(workers, len(jobs))
    with context.Manager() as manager:
        queue = manager.Queue()
        listener = threading.Thread(target=_listen, args=(queue, emit), daemon=True)
        listener.start()
        pool = ProcessPoolExecutor(count, mp_context=context)
        try:
            futures = [pool.submit(_run_in_worker, job, queue, count) for job in jobs]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            _stop(pool)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            queue.put(None)
            listener.join()


def _run_in_worker(job: Job, queue: Any, workers: int) -> None:
    import os

    import torch

    from bench.execute import run_job
    from bench.plugins import build_registry

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(max(1, (cores or 1) // workers))
    run_job(job, build_registry().metrics, queue.put)


def _listen(queue: Any, emit: Emit) -> None:
    while True:
        with contextlib.suppress(EOFError, ConnectionError):
            event = queue.get()
            if event is None:
                return
            emit(event)
            continue
        return


def _stop(pool: ProcessPoolExecutor) -> None:
    # Ctrl-C reaches the whole process group; a worker that ignored it must not outlive the run.
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.terminate()


EXECUTORS = {"local": run_local}
