"""What a server counts, for Prometheus.

Most of it the rooms and the admission count anyway, as plain numbers; they are asked
when somebody scrapes, so it costs nothing in between. Only times are observed as they
pass: from a hello to its welcome, and how late the event loop is.

The text is that of https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thkmesh.server.service import RoomService

__all__ = ["Metrics"]

_WELCOME_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
_LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_LAG_INTERVAL: Final = 0.5


class Metrics(Collector):
    """The numbers of one service."""

    def __init__(self, service: RoomService) -> None:
        """Count from now on."""
        self._service = service
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        welcome = Histogram(
            "thkmesh_welcome_seconds",
            "From a hello to its welcome, the check of its signatures included",
            buckets=_WELCOME_BUCKETS,
            registry=self._registry,
        )
        self._lag = Histogram(
            "thkmesh_loop_lag_seconds",
            "How late the event loop wakes up whoever asked for a time",
            buckets=_LAG_BUCKETS,
            registry=self._registry,
        )
        service.welcomed = welcome.observe

    @property
    def route(self) -> Route:
        """Where it is to be found: ``/metrics``."""
        return Route("/metrics", self._answer)

    async def watch_loop(self) -> None:
        """Look every half second how late the loop is, until cancelled."""
        while True:
            due = monotonic() + _LAG_INTERVAL  # uvloop's own clock stands still between
            await asyncio.sleep(_LAG_INTERVAL)
            self._lag.observe(max(0.0, monotonic() - due))

    def collect(self) -> Iterable[Metric]:
        """Yield what the service counts."""
        service, counts = self._service, self._service.counts
        for name, text, value in (
            ("connections", "WebSockets that are open", service.connection_count),
            ("rooms", "Rooms that there are", service.room_count),
            ("peers", "Sessions in rooms, those that are away included", service.peer_count),
            ("draining", "Whether the server is about to stop", service.turnstile.draining),
        ):
            yield GaugeMetricFamily(f"thkmesh_{name}", text, value)
        for name, text, value in (
            ("signals", "Signals passed on", counts.signals),
            ("signal_bytes", "Bytes of signals passed on", counts.signal_bytes),
            ("frames", "Sealed frames passed on", counts.relayed),
            ("frame_bytes", "Bytes of sealed frames passed on", counts.relayed_bytes),
            ("dropped_frames", "Sealed frames not passed on", counts.dropped),
            ("skipped_messages", "Messages of unknown types", counts.skipped),
        ):
            yield CounterMetricFamily(f"thkmesh_{name}", text, value)
        denied = CounterMetricFamily(
            "thkmesh_denied", "Limits that were hit, and others turned away", labels=["reason"]
        )
        for limit, number in service.turnstile.denied.items():
            denied.add_metric([limit], number)
        closed = CounterMetricFamily(
            "thkmesh_closed", "WebSockets that the server closed", labels=["code", "reason"]
        )
        for (code, reason), number in service.closed.items():
            closed.add_metric([str(int(code)), reason], number)
        yield from (denied, closed)

    async def _answer(self, _request: Request) -> Response:
        text = generate_latest(self._registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})
