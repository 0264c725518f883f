"""Results for people, as tables, and for programs, as one flat JSON object."""

import os

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from bench.rounds import Results
from bench.section import Figure

Flat = dict[str, float | int | str]


def show(results: Results, console: Console) -> None:
    """Print the figures against their bounds, then the medians they come from and their spread."""
    name = results.section.name
    if results.section.figures:
        console.print(_figures_table(f"{name}: figures", results))
    for key, reason in results.section.skipped.items():
        console.print(f"  {key} was not measured: {reason}", style="yellow", highlight=False)
    console.print(_medians_table(f"{name}: medians of {results.rounds} alternated rounds", results))


def flatten(results: Results) -> Flat:
    """Figures, medians and each median's least and greatest reading, versions and conditions.

    A figure that was skipped has its reason in place of a value, under `…_skipped`.
    """
    name = results.section.name
    flat: Flat = {**results.figures(), **results.medians()}
    for series in results.section.series:
        values = results.values(series)
        flat[f"{series.key}_min"], flat[f"{series.key}_max"] = min(values), max(values)
        flat[f"{series.key}_work_runs"] = series.runs
        reading = results.readings[series][0]
        flat[f"{series.contender.name}_version"] = reading.version
        flat[f"{series.contender.name}_python"] = reading.python
        flat[f"{series.contender.name}_sqlite"] = reading.sqlite
        flat[f"{series.key}_database"] = reading.database
    flat |= {f"{key}_skipped": reason for key, reason in results.section.skipped.items()}
    flat[f"{name}_rounds"] = results.rounds
    flat["cpus"] = os.cpu_count() or 1
    return flat


def missed(results: Results) -> list[str]:
    """A line for each figure that misses its must."""
    figures = results.figures()
    return [
        f"{figure.key}: {_number(figures[figure.key])}, must be {_bound(figure, figure.must)}"
        for figure in results.section.figures
        if not figure.meets(figures[figure.key], figure.must)
    ]


def _figures_table(title: str, results: Results) -> Table:
    table = Table("figure", title=title, box=SIMPLE)
    for column in ("value", "must", "aim", "verdict"):
        table.add_column(column, justify="right")
    figures = results.figures()
    for figure in results.section.figures:
        value = figures[figure.key]
        bounds = (_bound(figure, figure.must), _bound(figure, figure.aim))
        table.add_row(figure.key, _number(value), *bounds, _verdict(figure, value))
    return table


def _medians_table(title: str, results: Results) -> Table:
    table = Table("series", "version", title=title, box=SIMPLE)
    for column in ("runs", "median", "least – greatest"):
        table.add_column(column, justify="right")
    medians = results.medians()
    for series in results.section.series:
        values = results.values(series)
        version = results.readings[series][0].version
        spread = f"{_number(min(values))} – {_number(max(values))}"
        table.add_row(series.key, version, f"{series.runs:,}", _number(medians[series.key]), spread)
    return table


def _verdict(figure: Figure, value: float) -> str:
    if figure.meets(value, figure.aim):
        return "[green]aim met[/]"
    return "must met" if figure.meets(value, figure.must) else "[red]missed[/]"


def _bound(figure: Figure, bound: float) -> str:
    return f"{'≥' if figure.better == 'higher' else '≤'} {bound:,g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
