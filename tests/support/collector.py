"""A collector of traces on loopback: takes OTLP over HTTP, reads it by OpenTelemetry's own classes, and
misbehaves when told to."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

WAIT_S = 30.0


@dataclass(frozen=True)
class Seen:
    """One span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    began_ns: int
    ended_ns: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: tuple[str, str, str]
    links: tuple[tuple[str, str], ...]


@dataclass
class Collector:
    """`answers` is what requests are answered from now on (0 for no answer while `held`); `raw` is all that
    was sent, headers included."""

    address: str = ""
    answers: int = 200
    location: str = ""
    seen: list[Seen] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def until(self, holds: Any) -> Any:
        """Wait until something is so of what has arrived."""
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self), WAIT_S), [one.name for one in self.seen]
            return holds(self)

    def of(self, run: str) -> list[Seen]:
        """The spans of a run, in the order of their arrival."""
        return [one for one in self.seen if one.attributes["deputize.run"] == run]

    def names(self, run: str) -> list[str]:
        return [one.name for one in self.of(run)]


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            with collector.changed:
                collector.paths.append(self.path)
                collector.raw.append(bytes(self.headers) + b"\n" + _plain(self.headers, data))
                if collector.answers == 200:
                    collector.seen += _read(_plain(self.headers, data))
                collector.changed.notify_all()
            if collector.answers == 0:
                collector.held.wait(WAIT_S)
                self.close_connection = True
                return
            body = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.answers)
            if collector.location:
                self.send_header("location", collector.location)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is written."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    collector.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.held.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _plain(headers: Any, data: bytes) -> bytes:
    return gzip.decompress(data) if headers.get("content-encoding") == "gzip" else data


def _read(data: bytes) -> list[Seen]:
    request = ExportTraceServiceRequest.FromString(data)
    return [
        Seen(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.kind,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code,
            _values(span.attributes),
            _values(of.resource.attributes),
            (scoped.scope.name, scoped.scope.version, scoped.schema_url),
            tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        )
        for of in request.resource_spans
        for scoped in of.scope_spans
        for span in scoped.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


def now_ns() -> int:
    return time.time_ns()
