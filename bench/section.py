"""A section of the benchmarks as data: what is read, and which figures follow from the medians."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.contenders import Contender

Medians = Mapping[str, float]
"""Medians by the key of their series."""


@dataclass(frozen=True, slots=True)
class Series:
    """One measure of one contender, read once a round; `runs` is the size of the work.

    `rounds_max` is for measures of ours alone that take minutes: they are read in the first rounds only.
    `by` is the work that it is read from, together with others: that is done once a round for all of them.
    """

    contender: Contender
    measure: str
    unit: str
    runs: int
    concurrency: int = 1
    rounds_max: int = 1_000
    by: str = ""

    @property
    def key(self) -> str:
        """For example `dbos_throughput_runs_s`; a measure that is named with its unit has no other."""
        return "_".join(part for part in (self.contender.name, self.measure, self.unit) if part)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the results, and the bounds it is held to; `needs` are keys of series."""

    key: str
    better: Literal["higher", "lower"]
    must: float
    aim: float
    needs: tuple[str, ...]
    compute: Callable[[Medians], float]

    def meets(self, value: float, bound: float) -> bool:
        """Whether `value` is at least as good as `bound`."""
        return value >= bound if self.better == "higher" else value <= bound


@dataclass(frozen=True, slots=True)
class Section:
    """A named group of series, read in this order in every round, and its figures.

    `skipped` are figures that cannot be measured here, each with the reason.
    """

    name: str
    series: tuple[Series, ...]
    figures: tuple[Figure, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)


def as_far_as_read(
    name: str, series: Sequence[Series], figures: Sequence[Figure], skipped: Mapping[str, str] | None = None
) -> Section:
    """A section of those of the figures whose series are all read."""
    known = {one.key for one in series}
    read = tuple(figure for figure in figures if known.issuperset(figure.needs))
    return Section(name, tuple(series), read, skipped or {})
