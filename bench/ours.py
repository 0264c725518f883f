"""Deputize itself, on the work its peers do: three steps, each an in-process no-op write.

Everything is on: 50 rules, two facts, a budget, a lease, receipts. A measure is a function
`measure_…(runs, concurrency, directory) -> float` (see `bench.measure.Measure`), entered below under
the name its section knows. A figure whose measure is not entered is not listed.
"""

from collections.abc import Mapping
from importlib.metadata import version

from bench.measure import Measure, main

MEASURES: Mapping[str, Measure] = {}

if __name__ == "__main__":
    main("ours", version("deputize"), MEASURES)
