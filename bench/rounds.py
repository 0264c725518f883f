"""Alternated rounds: every series once a round, so that a slow minute of the machine slows all alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.contenders import Contender, Reading, read
from bench.section import Section, Series


@dataclass(frozen=True, slots=True)
class Results:
    """All readings of a section, by series, in the order of their rounds."""

    section: Section
    rounds: int
    readings: Mapping[Series, Sequence[Reading]]

    def values(self, series: Series) -> list[float]:
        """The values of one series, a value a round in which it was read."""
        return [reading.value for reading in self.readings[series]]

    def medians(self) -> dict[str, float]:
        """The median over the rounds, by the key of the series."""
        return {series.key: median(self.values(series)) for series in self.section.series}

    def figures(self) -> dict[str, float]:
        """The section's figures, computed from medians, by key."""
        medians = self.medians()
        return {figure.key: figure.compute(medians) for figure in self.section.figures}


def scaled(section: Section, scale: float) -> Section:
    """The same section with `scale` times the work in every series, at least one run each."""
    series = tuple(replace(one, runs=max(1, round(one.runs * scale))) for one in section.series)
    return replace(section, series=series)


def run_rounds(section: Section, rounds: int, on_reading: Callable[[str], None]) -> Results:
    """Read all series `rounds` times; `on_reading` is told in words what is read next.

    Raises `ReadingFailed` at the first reading that fails: results with gaps would not be comparable.
    """
    readings: dict[Series, list[Reading]] = {series: [] for series in section.series}
    for number in range(1, rounds + 1):
        shared: dict[tuple[Contender, str, int, int], Reading] = {}
        for series in section.series:
            if number > series.rounds_max:
                continue
            work = (series.contender, series.by or series.measure, series.runs, series.concurrency)
            if work not in shared:
                on_reading(f"{section.name}, round {number} of {rounds}: {series.key}")
                shared[work] = read(*work)
            readings[series].append(shared[work].of(series.measure))
    return Results(section, rounds, readings)
