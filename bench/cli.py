"""The `bench` command: verbs, and the one place errors are caught.

Imports nothing heavier than the standard library, so that ``bench --help`` answers at once; each
verb imports what it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.data.base import Dataset
    from bench.plugins import Registry
    from bench.runner import Options, RunResult

OK, INCOMPLETE, USER_ERROR, INTERRUPTED = 0, 1, 2, 130

EPILOG = """\
exit status: 0 all is known; 1 some cells failed or are blocked (verify: a number did not come out
again); 2 a mistake in what was asked, nothing was run (verify: it cannot be redone here); 130
interrupted, run the same command again to go on.
environment: $BENCH_DATA data folder (data); $BENCH_CACHE artifact store; $BENCH_PLUGINS plugin
folders; $BENCH_OFFLINE=1 never downloads."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one `bench` command and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "verb"):
        parser.print_help()
        return USER_ERROR
    # OpenMP threads that spin while they wait slow the main thread down several times over where
    # cores are few or shared. Read when torch is first imported; the user's own choice stands.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        status: int = arguments.verb(arguments)
    except BenchError as error:
        if arguments.debug:
            raise
        print(f"bench: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("bench: interrupted; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # `bench list | head`: the reader has seen enough. Nothing may be flushed into the pipe now.
        sys.stdout = None
        return OK
    return status


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    common.add_argument(
        "--plugins",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder of plugins besides the built-ins and $BENCH_PLUGINS; may be repeated",
    )
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Reproducible benchmarks of monocular depth estimation.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")

    def verb(
        group: Any, name: str, run: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = group.add_parser(
            name, help=text, description=text, parents=[common]
        )
        made.set_defaults(verb=run)
        return made

    listing = verb(verbs, "list", _list, "what there is: methods, data sets, protocols, ...")
    listing.add_argument("kind", nargs="?", choices=KINDS, help="one kind only")
    listing.add_argument("--json", action="store_true", help="as JSON")

    plan = verb(verbs, "plan", _plan, "what a suite asks for and what is still to do")
    _suite_arguments(plan)
    plan.add_argument("--json", action="store_true", help="as JSON")

    run = verb(verbs, "run", _run, "make the records of a suite that do not exist yet")
    _suite_arguments(run)
    run.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    run.add_argument("--executor", default="local", choices=["local"], help="where cells run")
    run.add_argument(
        "--workers", type=_positive, default=1, metavar="N", help="worker processes (1)"
    )
    run.add_argument("--out", type=Path, metavar="DIR", help="where the leaderboard is written")

    rescore = verb(
        verbs,
        "rescore",
        _run,
        "score predictions that were kept (predictions: keep); run no method",
    )
    _suite_arguments(rescore)
    rescore.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    rescore.add_argument(
        "--workers", type=_positive, default=1, metavar="N", help="worker processes (1)"
    )
    rescore.add_argument("--out", type=Path, metavar="DIR", help="where the leaderboard is written")
    rescore.set_defaults(rescore_only=True)

    board = verb(verbs, "leaderboard", _leaderboard, "write the leaderboard of a records folder")
    _records_argument(board)
    board.add_argument("--out", type=Path, metavar="DIR", help="the records folder's parent")
    board.add_argument(
        "--format",
        choices=["markdown", "latex", "csv"],
        default="markdown",
        help="the page (README.md), tables (leaderboard.tex) or a line a score (leaderboard.csv)",
    )

    show = verb(verbs, "show", _show, "show one record")
    show.add_argument("id", help="the record's id, or the beginning of it")
    show.add_argument("--json", action="store_true", help="as JSON")
    _records_argument(show)

    compare = verb(verbs, "compare", _compare, "which of two records is better, and how surely")
    for side in ("a", "b"):
        compare.add_argument(side, metavar="ID", help="a record's id, or the beginning of it")
    compare.add_argument(
        "--metric", action="append", default=[], metavar="NAME", help="only this; may be repeated"
    )
    compare.add_argument("--protocol", metavar="NAME", help="only this; all they share by default")
    compare.add_argument("--json", action="store_true", help="as JSON")
    _records_argument(compare)

    verify = verb(verbs, "verify", _verify, "redo a record; did every number come out again?")
    verify.add_argument("id", help="the record's id, or the beginning of it")
    verify.add_argument(
        "--device", default="auto", help="auto (what it was made on), cpu, cuda or cuda:N"
    )
    verify.add_argument(
        "--tolerance",
        type=_tolerance,
        metavar="X",
        help="relative; by default 0 on the same device and torch, 1e-4 elsewhere",
    )
    verify.add_argument("--json", action="store_true", help="as JSON")
    _records_argument(verify)
    _set_argument(verify)

    data = verbs.add_parser("data", help="make and inspect data sets").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    make = verb(data, "make", _data_make, "write the synthetic rooms as files, in NYU's layout")
    make.add_argument("name", choices=["rooms"], help="the data set")
    make.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    _set_argument(make)
    prepare = verb(data, "prepare", _data_prepare, "make what methods need besides the data")
    prepare.add_argument("name", help="a data set's name, or a suite")
    prepare.add_argument("--segments", choices=["sam"], required=True, help="Segment Anything's")
    prepare.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FILE", help="sam_vit_b_01ec64.pth, ..."
    )
    prepare.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    _set_argument(prepare)
    inspect = verb(data, "inspect", _data_inspect, "show what a data set holds")
    inspect.add_argument("name", help="a data set's name, or a suite")
    inspect.add_argument("--limit", type=_positive, metavar="N", help="read N images a split only")
    inspect.add_argument("--json", action="store_true", help="as JSON")
    _set_argument(inspect)

    cache = verbs.add_parser("cache", help="what the artifact store holds").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    held = verb(cache, "list", _cache_list, "list artifacts by suite and size")
    held.add_argument("--json", action="store_true", help="as JSON")
    _records_argument(held)
    prune = verb(cache, "prune", _cache_prune, "remove artifacts; they are made again when needed")
    _records_argument(prune)
    chosen = prune.add_argument_group("what to remove (at least one)")
    chosen.add_argument("--all", action="store_true", help="everything")
    chosen.add_argument("--unused", action="store_true", help="what no record here came from")
    chosen.add_argument("--kind", choices=CACHE_KINDS, help="one kind of artifact")
    chosen.add_argument("--older-than", type=float, metavar="DAYS", help="last changed before")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    return parser


KINDS = ("methods", "datasets", "protocols", "metrics", "suites", "plugins")
CACHE_KINDS = (
    "fits",
    "checkpoints",
    "predictions",
    "pictures",
    "segments",
    "data",
    "ranks",
    "logs",
)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from bench.plugins import bench_version

        parser.exit(OK, f"bench {bench_version()}\n")


def _suite_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", metavar="SUITE", help="a suite file, or a built-in suite's name")
    _records_argument(parser)
    _set_argument(parser)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GLOB",
        help="only cells whose method, label or name[param=value] matches; may be repeated",
    )
    parser.add_argument(
        "--limit", type=_positive, metavar="N", help="the first N training and N test images"
    )
    parser.add_argument("--force", action="store_true", help="take nothing as known")


def _set_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key by its dotted path (dataset.path=..., methods.0.params.x=...)",
    )


def _records_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--records",
        type=Path,
        default=Path("leaderboard/records"),
        metavar="DIR",
        help="the records folder (leaderboard/records)",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give a whole number of at least 1")
    return value


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("give a relative difference from 0 to below 1")
    return value


def _console() -> Console:
    from rich.console import Console

    return Console()


def _warn(line: str) -> None:
    print(f"bench: warning: {line}", file=sys.stderr)


def _registry(arguments: argparse.Namespace) -> Registry:
    from bench.plugins import build_registry

    registry = build_registry(arguments.plugins)
    for broken in registry.broken:
        _warn(str(broken))
        if arguments.debug:
            print(broken.traceback, file=sys.stderr)
    return registry


def _options(arguments: argparse.Namespace) -> Options:
    from bench.runner import Options

    return Options(
        records=arguments.records,
        out=getattr(arguments, "out", None),
        device=getattr(arguments, "device", "auto"),
        sets=tuple(arguments.set),
        only=tuple(arguments.only),
        limit=arguments.limit,
        executor=getattr(arguments, "executor", "local"),
        workers=getattr(arguments, "workers", 1),
        force=arguments.force,
        rescore_only=getattr(arguments, "rescore_only", False),
    )


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _list(arguments: argparse.Namespace) -> int:
    from bench.listing import catalogue, print_catalogue

    found = catalogue(_registry(arguments))
    chosen = {kind: found[kind] for kind in ([arguments.kind] if arguments.kind else KINDS)}
    if arguments.json:
        _print_json(chosen)
    else:
        print_catalogue(_console(), chosen, full=arguments.kind is not None)
    return OK


def _plan(arguments: argparse.Namespace) -> int:
    from bench.listing import print_plan
    from bench.runner import plan_suite

    plan = plan_suite(arguments.suite, _registry(arguments), _options(arguments))
    if arguments.json:
        _print_json({"suite": plan.suite.name, "cells": [cell.as_json() for cell in plan.cells]})
    else:
        print_plan(_console(), plan)
    return OK


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(arguments: argparse.Namespace) -> int:
    from bench.runner import run_suite

    # A cluster's polite kill leaves the store as clean as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)

    console = _console()
    result = run_suite(
        arguments.suite, _options(arguments), registry=_registry(arguments), console=console
    )
    _print_result(console, result, arguments)
    return OK if result.complete else INCOMPLETE


def _print_result(console: Console, result: RunResult, arguments: argparse.Namespace) -> None:
    from bench.report.terminal import print_suite

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    keys = [cell.keys.cell for cell in result.plan.cells]
    print_suite(console, result.records, keys, _registry(arguments))
    known = result.plan.count("done")
    say(
        f"suite '{result.plan.suite.name}': {len(keys)} cells, {known} known before, "
        f"{result.made} made now, {len(result.failed)} failed, {len(result.blocked)} blocked "
        f"({result.seconds:.1f} s)"
    )
    if not result.made and result.complete:
        say("nothing to do: every score is already on record")
    for line in result.blocked:
        say(f"BLOCKED {line}")
    for page in result.leaderboard:
        say(f"leaderboard: {page}")


def _leaderboard(arguments: argparse.Namespace) -> int:
    from bench.report.markdown import write_leaderboard, write_table

    if not arguments.records.is_dir():
        raise BenchError(f"no records folder '{arguments.records}'; run a suite, or give --records")
    out = arguments.out or arguments.records.parent
    registry = _registry(arguments)
    if arguments.format == "markdown":
        files = write_leaderboard(arguments.records, out, registry)
    else:
        files = write_table(arguments.records, out, registry, arguments.format)
    for path in files:
        print(path)
    return OK


def _show(arguments: argparse.Namespace) -> int:
    from bench.records import find_record
    from bench.report.terminal import print_record

    record = find_record(arguments.records, arguments.id)
    if arguments.json:
        _print_json(record.model_dump(mode="json"))
    else:
        print_record(_console(), record)
    return OK


def _compare(arguments: argparse.Namespace) -> int:
    from bench.report.compare import compare_records, print_comparison

    found = compare_records(
        arguments.records,
        (arguments.a, arguments.b),
        _registry(arguments).metrics,
        metrics=arguments.metric,
        protocol=arguments.protocol,
    )
    if arguments.json:
        _print_json(found.as_json())
    else:
        print_comparison(_console(), found)
    return OK


def _verify(arguments: argparse.Namespace) -> int:
    from rich.console import Console as RichConsole

    from bench.report.verification import print_verification
    from bench.verify import verify_record

    # A cluster's polite kill must remove the store of its own, as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    found = verify_record(
        arguments.records,
        arguments.id,
        _registry(arguments),
        device=arguments.device,
        sets=arguments.set,
        tolerance=arguments.tolerance,
        console=RichConsole(stderr=True),
    )
    if arguments.json:
        _print_json(found.as_json())
    else:
        print_verification(_console(), found)
    return OK if found.confirmed else INCOMPLETE


def _data_make(arguments: argparse.Namespace) -> int:
    from bench.data.rooms import make_rooms
    from bench.suite import make_dataset

    dataset = make_dataset(arguments.name, arguments.set, _registry(arguments))
    make_rooms(dataset.params, arguments.out, lambda line: print(line, flush=True))
    return OK


def _dataset(arguments: argparse.Namespace) -> Dataset:
    """The data set a command names by itself or by a suite, ready to be read."""
    from bench.suite import find_suite, load_suite, make_dataset

    registry = _registry(arguments)
    if arguments.name in registry.datasets:
        dataset = make_dataset(arguments.name, arguments.set, registry)
    else:
        suite = find_suite(arguments.name)
        dataset = load_suite(suite, registry, sets=arguments.set).dataset
    dataset.prepare(_tell)
    return dataset


def _tell(line: str) -> None:
    # Progress goes to stderr, so that what a command answers can be piped.
    print(line, file=sys.stderr, flush=True)


def _data_prepare(arguments: argparse.Namespace) -> int:
    from bench.data.segments_making import prepare_segments
    from bench.runner import resolve_device

    kept = prepare_segments(
        _dataset(arguments),
        arguments.checkpoint,
        device=resolve_device(arguments.device),
        report=_tell,
    )
    print(f"{kept.images} images segmented by {kept.architecture}: {kept.folder}")
    return OK


def _data_inspect(arguments: argparse.Namespace) -> int:
    from bench.data.inspect import inspect, render

    summary = inspect(_dataset(arguments), _tell, limit=arguments.limit)
    if arguments.json:
        _print_json(summary.as_json())
    else:
        print(render(summary))
    return OK


def _cache_list(arguments: argparse.Namespace) -> int:
    from bench.cache import artifacts, print_artifacts

    found = artifacts(arguments.records)
    if arguments.json:
        _print_json([item.as_json() for item in found])
    else:
        print_artifacts(_console(), found)
    return OK


def _cache_prune(arguments: argparse.Namespace) -> int:
    from bench.cache import artifacts, choose, human_size, remove

    given = (arguments.all, arguments.unused, arguments.kind, arguments.older_than is not None)
    if not any(given):
        raise BenchError("cache prune: say what to remove: --all, --unused, --kind or --older-than")
    chosen = choose(
        artifacts(arguments.records),
        kind=arguments.kind,
        unused=arguments.unused,
        older_than_days=arguments.older_than,
    )
    if not arguments.dry_run:
        remove(chosen)
    word = "would remove" if arguments.dry_run else "removed"
    print(f"{word} {len(chosen)} artifacts, {human_size(sum(item.size for item in chosen))}")
    return OK
