"""Everything that can go wrong by a user's hand, as one tree.

    BenchError                 one line: what was wrong, where, what to do; exit 2
    ├── SuiteError             a suite file, a --set, an --only
    ├── PluginError            a plugin that does not import, register or keep the contract
    ├── UnknownNameError       a method, dataset, protocol, metric or suite nobody registered
    ├── DataError              a data set that is missing, truncated or of the wrong shape
    ├── ProtocolError          a protocol that contradicts itself or does not fit the frame
    ├── RecordError            a record that cannot be read
    ├── StoreError             the artifact store cannot be read or written
    └── MethodError            a method broke its contract while fitting or predicting
    BlockedError               a cell cannot run here (weights, segments); says how to unblock it

`BenchError` is caught once, in `bench.cli.main`; the runner turns what is raised inside a cell
into a failed record and goes on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """A mistake a person can mend. The message is one line."""


class SuiteError(BenchError):
    """A suite file, or an override of it, that cannot be run as written."""


class PluginError(BenchError):
    """A plugin that does not import, does not register, or breaks the contract."""


class UnknownNameError(BenchError):
    """A name nobody registered."""


class DataError(BenchError):
    """A data set that is missing, truncated, or not in its published layout."""


class ProtocolError(BenchError):
    """A protocol that contradicts itself or does not fit the frame it is applied to."""


class RecordError(BenchError):
    """A record file that cannot be read."""


class StoreError(BenchError):
    """The artifact store cannot be read or written."""


class MethodError(BenchError):
    """A method that broke its contract while fitting or predicting."""


class BlockedError(BenchError):
    """A cell that cannot run on this machine as it stands; the message says how to unblock it."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known name, else what there is to choose from.

    Args:
        name: What the user wrote.
        known: The valid names.
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(names)}" if names else "; there are none"
