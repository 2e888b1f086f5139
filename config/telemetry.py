"""Spans for OpenTelemetry, sent by OTLP over HTTP; imported only where OTEL_EXPORTER_OTLP_ENDPOINT is set."""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from ai_tasks import trail
from ai_tasks.trail import Attributes, Kind

KINDS = {"server": trace.SpanKind.SERVER, "consumer": trace.SpanKind.CONSUMER, "client": trace.SpanKind.CLIENT}
PROPAGATOR = TraceContextTextMapPropagator()


class OpenSpan(trail.Span):
    """A span that will be exported."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def tell(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(dict(attributes))

    def rename(self, name: str) -> None:
        """Call it otherwise."""
        self._span.update_name(name)

    def end(self, error: str = "") -> None:
        """Close it and hand it to the exporter."""
        if error:
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", error)
        self._span.end()


class OpenTelemetry:
    """
    A tracer of OpenTelemetry's.

    The rest its own variables say: OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, ...
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self.provider = TracerProvider(resource=Resource.create({"service.name": "tasuki"}))
        self.provider.add_span_processor(processor)
        self._tracer = self.provider.get_tracer("tasuki")

    def start(self, name: str, kind: Kind, parent: str, attributes: Attributes) -> trail.Span:
        """Open a span below that traceparent, or a new trace's first."""
        context = PROPAGATOR.extract({"traceparent": parent} if parent else {})
        return OpenSpan(self._tracer.start_span(name, context, KINDS[kind], dict(attributes)))


def export() -> None:
    """Send the spans of this process, in batches from a thread, to where OTEL_EXPORTER_OTLP_ENDPOINT says."""
    trail.export_to(OpenTelemetry(BatchSpanProcessor(OTLPSpanExporter())))
