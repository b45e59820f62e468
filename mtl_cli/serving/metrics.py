"""What a server counts and times, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 10_000)


class Metrics:
    """Counters of one server.

    Parameters
    ----------
    waiting : callable
        Returns how many requests wait for the model.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("mtl_requests", "Requests by path and status", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "mtl_request_seconds", "Seconds from a request's head to its answer", ["path"], buckets=LATENCIES,
            registry=registry,
        )  # fmt: skip
        self.waited = Histogram(
            "mtl_queue_seconds", "Seconds that requests waited for the model", buckets=LATENCIES, registry=registry
        )
        self.rows = Counter("mtl_rows", "Rows that were predicted", ["model"], registry=registry)
        self.batches = Histogram(
            "mtl_batch_rows", "Rows that were predicted at once", ["model"], buckets=ROWS, registry=registry
        )
        self.model_seconds = Histogram(
            "mtl_model_seconds", "Seconds of a prediction without reading", ["model"], buckets=LATENCIES,
            registry=registry,
        )  # fmt: skip
        self.reloads = Counter("mtl_reloads", "Reloads by outcome", ["outcome"], registry=registry)
        queue = Gauge("mtl_queue_requests", "Requests that wait for the model", registry=registry)
        queue.set_function(waiting)

    def predicted(self, model: str, rows: int, seconds: float) -> None:
        """Count a prediction."""
        self.rows.labels(model).inc(rows)
        self.batches.labels(model).observe(rows)
        self.model_seconds.labels(model).observe(seconds)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """Return what Prometheus reads."""
        return generate_latest(self.registry)
