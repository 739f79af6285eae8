# Owns the search for the rows that make a run fail: which rows to try next, from first to last, so
# that how far it is can be told by one number. Pure: the caller runs and parks.
"""Bisection of a failing batch."""

from collections.abc import Callable

import msgspec


class BisectionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to search: what is left then is tried once, and parked in large pieces.

    Attributes:
        bad_in_a_row_max: So many bad rows without a good run between them: they are all bad, as
            far as one can see. The search goes on behind the next good run.
        seconds_max: Longest time of the whole search.
    """

    bad_in_a_row_max: int = 100
    seconds_max: float = 600.0


class RowRange(msgspec.Struct, frozen=True):
    """Rows from `start` to before `end`, which were part of `tries` failed runs."""

    start: int
    end: int
    tries: int


class Bisection:
    """Halves a range of rows until the bad ones stand alone."""

    def __init__(
        self,
        whole: RowRange,
        policy: BisectionPolicy,
        clock_s: Callable[[], float],
    ) -> None:
        """Search `whole`; when it was tried already, by its halves."""
        self._policy = policy
        self._clock_s = clock_s
        self._deadline_s = clock_s() + policy.seconds_max
        self.runs = 0
        self._bad_in_a_row = 0
        # What is still to be tried, the first rows last.
        self._open: list[RowRange] = [whole] if whole.end > whole.start else []
        if whole.tries and whole.end - whole.start > 1:
            self._split(whole.tries)

    @property
    def current(self) -> RowRange | None:
        """Rows to try now; None when all are finished."""
        return self._open[-1] if self._open else None

    def succeeded(self) -> None:
        """The current rows are processed."""
        self.runs += 1
        self._bad_in_a_row = 0
        self._open.pop()

    def failed(self) -> RowRange | None:
        """The current rows failed; return them when they are to be parked."""
        self.runs += 1
        rows = self._open[-1]
        if rows.end - rows.start > 1 and not self._is_spent:
            self._split(rows.tries + 1)
            return None
        self._open.pop()
        self._bad_in_a_row += 1
        return RowRange(rows.start, rows.end, rows.tries + 1)

    @property
    def _is_spent(self) -> bool:
        return (
            self._bad_in_a_row >= self._policy.bad_in_a_row_max
            or self._clock_s() >= self._deadline_s
        )

    def _split(self, tries: int) -> None:
        rows = self._open.pop()
        middle = (rows.start + rows.end) // 2
        self._open += [RowRange(middle, rows.end, tries), RowRange(rows.start, middle, tries)]
