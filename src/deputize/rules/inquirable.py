"""Whether what a rule wants to be found out can be: checked where rules are loaded."""

from __future__ import annotations

from collections.abc import Collection

from deputize.approval import Demand
from deputize.rules.compile import Known
from deputize.suggest import did_you_mean


def inquirable(demand: Demand, operations: Collection[str], known: Known) -> str:
    """Why an inquiry of a rule over these operations could never be answered; empty where it could."""
    if demand.tier == "rehearse":
        never = sorted(name for name in operations if not known.views[name].rehearses)
        return f"rehearses {never[0]}, whose contract does not say how: add rehearse=…" if never else ""
    if demand.tier != "verify":
        return ""
    verifier = known.views.get(demand.verifier)
    verifiers = [name for name, view in known.views.items() if view.verifies]
    if verifier is None:
        nearest = did_you_mean(demand.verifier, verifiers)
        return f"verifies with {demand.verifier!r}: there is no such operation{nearest}"
    if not verifier.verifies:
        said = "a verifier is a read that takes `intent: Intent` alone and returns a Verification"
        return f"verifies with {demand.verifier}, which is no verifier: {said}"
    if demand.verifier in operations:
        return f"verifies {demand.verifier} with itself"
    if demand.by and known.agents is not None and demand.by not in known.agents:
        return f"verifies by {demand.by!r}: there is no such agent{did_you_mean(demand.by, known.agents)}"
    return ""
