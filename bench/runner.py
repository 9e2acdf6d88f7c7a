"""Running a suite: plan it, run what is missing, write the leaderboard."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.plan import Plan, make_plan
from bench.plugins import Registry, build_registry
from bench.records import Record, load_records
from bench.suite import Suite, find_suite, load_suite

if TYPE_CHECKING:
    from rich.console import Console

    from bench.execute import Job

DEFAULT_RECORDS = Path("leaderboard/records")


@dataclass(frozen=True)
class Options:
    """How a suite is run; what is in none of the keys, and what overrides the suite.

    Attributes:
        records: The records folder.
        out: Where the leaderboard is written; the records folder's parent by default.
        device: auto, cpu, cuda or cuda:N.
        sets: ``KEY=VALUE`` overrides.
        only: Globs over method names, labels and cells.
        limit: The first N training and N test images only.
        executor: Where cells run.
        workers: Worker processes.
        force: Make everything again.
        rescore_only: Score predictions that were kept; run no method.
    """

    records: Path = DEFAULT_RECORDS
    out: Path | None = None
    device: str = "auto"
    sets: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    limit: int | None = None
    executor: str = "local"
    workers: int = 1
    force: bool = False
    rescore_only: bool = False

    @property
    def overrides(self) -> tuple[str, ...]:
        """What a record says of how its suite was changed."""
        limit = () if self.limit is None else (f"--limit {self.limit}",)
        sets = (f"--set {item}" for item in self.sets)
        return (*sets, *(f"--only {item}" for item in self.only), *limit)


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        plan: The plan it worked on.
        made: Cells that were done in this run.
        failed: One line for each cell that failed.
        blocked: One line for each cell that cannot run here.
        records: The suite's records, after the run.
        leaderboard: The files written.
        seconds: Wall clock.
    """

    plan: Plan
    made: int
    failed: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    leaderboard: list[Path] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether everything the suite asks for is known."""
        return not self.failed and not self.blocked


def load(path: str | Path, registry: Registry, options: Options) -> Suite:
    """Find, read and validate a suite. Raises `SuiteError`, `UnknownNameError`."""
    return load_suite(find_suite(str(path)), registry, sets=options.sets, only=options.only)


def plan_suite(path: str | Path, registry: Registry, options: Options) -> Plan:
    """Plan a suite against the records folder."""
    suite = load(path, registry, options)
    known = load_records(options.records) if options.records.is_dir() else []
    return make_plan(
        suite,
        registry,
        known,
        limit=options.limit,
        force=options.force,
        rescore=options.rescore_only,
    )


def run_suite(
    path: str | Path,
    options: Options | None = None,
    *,
    registry: Registry | None = None,
    console: Console | None = None,
) -> RunResult:
    """Make exactly the records of a suite that do not exist yet, then write the leaderboard.

    Args:
        path: A suite file, or the name of a built-in suite.
        options: Records folder, device, overrides.
        registry: What plugins offer; built anew by default.
        console: Where progress is shown; nowhere by default.

    Raises:
        BenchError: The suite cannot be run as written; nothing was run.
    """
    from bench.report.markdown import write_leaderboard

    begin = time.monotonic()
    options = options or Options()
    registry = registry or build_registry()
    plan = plan_suite(path, registry, options)
    made, failed, blocked = _run_missing(plan, options, console) if plan.groups() else (0, [], [])
    blocked += [f"{cell.label}: {cell.reason}" for cell in plan.cells if cell.state == "blocked"]
    records = load_records(options.records) if options.records.is_dir() else []
    out = options.out or options.records.parent
    figure = _figure(plan, out, made)
    pages = write_leaderboard(options.records, out, registry) + ([figure] if figure else [])
    keys = {cell.keys.cell for cell in plan.cells}
    return RunResult(
        plan=plan,
        made=made,
        failed=failed,
        blocked=blocked,
        records=[record for record in records if record.keys.cell in keys],
        leaderboard=pages,
        seconds=time.monotonic() - begin,
    )


def _figure(plan: Plan, out: Path, made: int) -> Path | None:
    """The suite's figure; drawn where something was made, so that a finished run stays quick."""
    if not made:
        return None
    from bench.report.figure import write_figure

    return write_figure(plan, out)


def _run_missing(
    plan: Plan, options: Options, console: Console | None
) -> tuple[int, list[str], list[str]]:
    from rich.console import Console as RichConsole

    from bench.executors import EXECUTORS
    from bench.progress import Watcher

    device = resolve_device(options.device)
    console = console or RichConsole(quiet=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    plan.suite.dataset.prepare(say)
    if not options.rescore_only:
        make_segments(plan, device, say)
    plan.suite.dataset.close()
    jobs = make_jobs(plan, options, device)
    with Watcher(console, sum(len(job.cells) for job in jobs)) as watcher:
        EXECUTORS[options.executor](jobs, plan.metrics, watcher, options.workers)
    failed = [f"{item.label}: {item.data['message']}" for item in watcher.failed]
    blocked = [f"{item.label}: {item.data['reason']}" for item in watcher.blocked]
    return len(watcher.done), failed, blocked


def make_segments(plan: Plan, device: str, say: Callable[[str], None]) -> None:
    """Make the SAM segments that cells to run need and that are not kept yet."""
    cells = [cell for group in plan.groups() for cell in group]
    sources = dict.fromkeys(cell.segments for cell in cells if cell.segments is not None)
    for source in sources:
        from bench.data.segments_making import ensure_segments

        ensure_segments(source, plan.suite.dataset, device, say)


def make_jobs(plan: Plan, options: Options, device: str) -> list[Job]:
    """The jobs of a plan: one for each fit key that has something missing."""
    from bench.execute import Job

    return [
        Job(
            cells=tuple(cells),
            suite=plan.suite.name,
            overrides=options.overrides,
            train=plan.train,
            test=plan.test,
            metrics=plan.suite.metrics,
            keep=plan.suite.predictions == "keep",
            force=options.force,
            rescore_only=options.rescore_only,
            device=device,
            records=options.records,
            owners=plan.owners,
        )
        for cells in plan.groups()
    ]


def resolve_device(wanted: str) -> str:
    """Turn auto, cpu, cuda, cuda:N into a device that is there.

    Raises:
        BenchError: There is no such device.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda:0" if count else "cpu"
    name, _, number = wanted.partition(":")
    if name == "cpu" and not number:
        return "cpu"
    if name != "cuda" or (number and not number.isdigit()):
        raise BenchError(f"--device {wanted}: choose auto, cpu, cuda or cuda:N")
    if int(number or 0) >= count:
        raise BenchError(
            f"--device {wanted}: this machine has {count} CUDA devices; use --device cpu"
        )
    return f"cuda:{number or 0}"
