"""Spans to a collector, by OpenTelemetry's own SDK. Only the process that exports imports this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from deputize.span import Span

SCHEMA = "https://opentelemetry.io/schemas/1.41.0"
TIMEOUT_S = 5.0
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}


class Exporter:
    """Posts spans to one address. The environment has no say in it."""

    def __init__(
        self, address: str, headers: Mapping[str, str], service: str, version: str, ledger_id: str
    ) -> None:
        session = requests.Session()
        session.trust_env = False
        # A collector has no business sending us elsewhere, least of all with our headers.
        session.max_redirects = 0
        self._exporter = OTLPSpanExporter(
            address, headers=dict(headers), timeout=TIMEOUT_S, compression=Compression.Gzip, session=session
        )
        self._resource = Resource(
            {"service.name": service, "service.version": version, "deputize.ledger": ledger_id}
        )
        self._scope = InstrumentationScope("deputize", version, SCHEMA)

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether the collector took them; it is tried for a few seconds at most."""
        made = [self._made(span) for span in spans]
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def _made(self, span: Span) -> ReadableSpan:
        attributes = dict(span.attributes) | ({"error.type": span.error} if span.error else {})
        return ReadableSpan(
            span.name,
            _context(span.trace, span.id),
            parent=_context(span.trace, span.parent) if span.parent else None,
            resource=self._resource,
            attributes=attributes,
            links=[Link(_context(*span.link))] if span.link is not None else (),
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR) if span.error else Status(StatusCode.UNSET),
            start_time=span.began_us * 1_000,
            end_time=span.ended_us * 1_000,
            instrumentation_scope=self._scope,
        )


def _context(trace: str, span: str) -> SpanContext:
    return SpanContext(
        int(trace, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
