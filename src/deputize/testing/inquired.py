"""What must hold of what is found out before an action starts: one more check, as in `asked.py`.

A finding that an entry rests on is not believed: it must be what an inquiry of the same run came to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deputize.finding import FRESH_US, Finding, finding_of_body, inquiries_of, inquiry_of
from deputize.ledger import Entry
from deputize.rule import RuleLine
from deputize.testing.case import Case
from deputize.testing.evidence import LedgerEvidence
from deputize.testing.judged import Judged


def what_rules_want_found_out_is_found_out(case: Case) -> Iterator[str]:
    """Nothing starts, and nobody is asked, before all that rules want to know is found out: lately, about
    just this, and as the inquiries say. What does not agree is not taken for what does."""
    for one in case.judged:
        if one.body.get("round", 1) > 1 or one.verdict.decision != "demand":
            continue
        findings = findings_of(one)
        for inquiry in inquiries_of(one.verdict.rules):
            name = f"{one.place}: the inquiry {inquiry.verifier or inquiry.tier}"
            finding = findings.get(inquiry)
            if finding is None:
                yield f"{name} was not made"
            elif one.entry.at_us - finding.at_us >= FRESH_US:
                yield f"{name} was made too long before"
            elif not finding.path.startswith(f"{one.path}/"):
                yield f"{name} was made about {finding.path}"
            elif finding.says != "cannot_tell" and _said(case.ledger, one, finding) != finding.says:
                yield f"{name} did not come to that it would {finding.says}"
            elif one.entry.type == "intent" and (since := _done_since(case.ledger, one, finding)):
                yield f"{name} was made before {since} was done to the same"


def findings_of(one: Judged) -> Mapping[Any, Finding]:
    """What an entry says that was found out, by inquiry."""
    found = [finding_of_body(body) for body in one.body.get("findings", ())]
    return {finding.inquiry: finding for finding in found}


def disagreed(one: Judged, rule: RuleLine) -> Finding | None:
    """What was found against an action that a rule wants to know more about, if anything was."""
    inquiry = inquiry_of(rule)
    finding = findings_of(one).get(inquiry) if inquiry is not None else None
    return finding if finding is not None and finding.says != "agree" else None


def _done_since(ledger: LedgerEvidence, one: Judged, finding: Finding) -> str:
    """Another action that was begun on one of the same resources after an inquiry was answered, and was not
    undone by a no; empty where there is none."""
    own, leases = ledger.entries[one.run.no], set(one.body["leases"])
    found_at = max((e.seq for e in own if (e.body or {}).get("path") == finding.path), default=one.entry.seq)
    for run, entries in ledger.entries.items():
        not_done = {(e.body or {}).get("path") for e in entries if e.type in ("refused", "declined")}
        for entry in entries:
            body = entry.body or {}
            between = found_at < entry.seq < one.entry.seq and entry.type == "intent"
            if between and leases & set(body["leases"]) and body["path"] not in not_done:
                return f"{run}/{body['path']}"
    return ""


def _said(ledger: LedgerEvidence, one: Judged, finding: Finding) -> str:
    """What an inquiry came to, by its own entry: the last one before it was rested on."""
    said = ""
    for entry in ledger.entries[one.run.no]:
        body = entry.body or {}
        if entry.seq < one.entry.seq and body.get("path") == finding.path:
            said = _says(entry, body) or said
    return said


def _says(entry: Entry, body: Mapping[str, Any]) -> str:
    if entry.type == "rehearsed":
        return str(body["says"])
    result = body.get("result") if entry.type in ("read", "receipt") else None
    return str(result.get("says", "")) if isinstance(result, Mapping) else ""
