"""metrics.py: GET /metrics, a Prometheus or OpenMetrics page whose counters grow with each scrape."""
import time
import zlib

from .generic import refusal
from .message import Response

PROMETHEUS = b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
OPENMETRICS = b"Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
MAX_SERIES = 1_000_000
BOUNDS = ("0.005", "0.05", "0.5", "5", "+Inf")


class Metrics:
    """Each value of `?instance=` is a target with counters of its own."""

    def __init__(self):
        self.scrapes = {}
        self.started_at = time.time()

    def answer(self, request):
        denied = refusal(request)
        if denied:
            return denied
        params = request.params
        instance = params.get("instance", "")
        n = self.scrapes[instance] = self.scrapes.get(instance, 0) + 1
        series = params.get("series", "0")
        series = min(int(series), MAX_SERIES) if series.isdigit() else 0
        wanted = params.get("format")
        is_open = wanted == "openmetrics" or not wanted and b"openmetrics" in request.headers.get(b"accept", b"")
        body = self.page(n, series, is_open).encode()
        headers = (OPENMETRICS if is_open else PROMETHEUS) + b"Vary: Accept, Accept-Encoding\r\n"
        if b"gzip" in request.headers.get(b"accept-encoding", b""):
            body = zlib.compress(body, 1, wbits=31)
            headers += b"Content-Encoding: gzip\r\n"
        return Response(200, body, headers)

    def page(self, n, series, is_open):
        # OpenMetrics names a counter's family without the suffix that its samples carry.
        family = "demo_requests" if is_open else "demo_requests_total"
        lines = [
            f"# HELP {family} Requests handled, by method and code.",
            f"# TYPE {family} counter",
            f'demo_requests_total{{method="get",code="200"}} {n * 10}',
            f'demo_requests_total{{method="post",code="200"}} {n * 3}',
            f'demo_requests_total{{method="post",code="500"}} {n // 5}',
            "# HELP demo_queue_depth Jobs waiting.",
            "# TYPE demo_queue_depth gauge",
            f'demo_queue_depth{{queue="mail \\"bulk\\"",path="C:\\\\spool"}} {n % 17}',
            'demo_queue_depth{queue="idle"} NaN',
            "# HELP demo_request_duration_seconds Time to answer.",
            "# TYPE demo_request_duration_seconds histogram",
        ]
        lines += [f'demo_request_duration_seconds_bucket{{le="{bound}"}} {n * (i + 1) * 2}'
                  for i, bound in enumerate(BOUNDS)]
        lines += [
            f"demo_request_duration_seconds_sum {n * 1.25}",
            f"demo_request_duration_seconds_count {n * len(BOUNDS) * 2}",
            "# HELP demo_start_time_seconds When the target started.",
            "# TYPE demo_start_time_seconds gauge",
            f"demo_start_time_seconds {self.started_at:.3f}",
        ]
        if series:
            lines.append("# TYPE demo_series gauge")
            lines += [f'demo_series{{n="{i}"}} {n + i}' for i in range(series)]
        if is_open:
            lines.append("# EOF")
        return "\n".join(lines) + "\n"
