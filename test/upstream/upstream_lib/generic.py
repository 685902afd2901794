"""generic.py: endpoints that any HTTP connector can poll: a JSON document and an echo."""
import base64
import datetime
import time

from .client_credentials import CLIENTS
from .message import JSON, Response, compact_json, json_response
from .redaction import shown_headers

USER, PASSWORD, TOKEN, API_KEY = "scraper", "scrape-secret", "scrape-token", "api-key-secret"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def refusal(request):
    """The 401 that `?auth=` asks for unless the right credentials came, else None."""
    wanted = request.params.get("auth")
    scheme, _, value = request.header(b"authorization").partition(" ")
    given = f"{scheme.capitalize()} {value.strip()}"
    if wanted is None or wanted == "none":
        return None
    if wanted == "basic" and given == BASIC or wanted == "bearer" and given == f"Bearer {TOKEN}":
        return None
    if wanted == "header" and request.header(b"x-api-key") == API_KEY:
        return None
    if wanted == "query" and request.params.get("api_key") == API_KEY:
        return None
    if wanted == "client" and scheme.lower() == "bearer" and CLIENTS.has_token(value.strip()):
        return None
    challenge = b"Basic" if wanted == "basic" else b"Bearer"
    headers = JSON + b"WWW-Authenticate: %b realm=\"upstream\"\r\n" % challenge
    return json_response(401, {"error": "unauthorized"}, headers)


class JsonDocument:
    """GET /json: numbers that move, at several depths, beside strings, booleans and nulls."""

    def __init__(self):
        self.served = 0

    def answer(self, request):
        denied = refusal(request)
        if denied:
            return denied
        self.served += 1
        n = self.served
        now = datetime.datetime.now(datetime.timezone.utc)
        return Response(200, compact_json({
            "status": "ok",
            "is_healthy": True,
            "is_degraded": False,
            "note": None,
            "served": n,
            "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "epoch": round(now.timestamp(), 3),
            "queue": {"depth": n % 17, "oldest_s": n % 17 * 1.5, "workers": {"busy": n % 4, "total": 4}},
            "ratio": (n % 100) / 100,
            "text_number": str(n),
            "offset": -12.5,
            "items": [
                {"name": "alpha", "value": n, "tags": {"region": "eu"}},
                {"name": "beta", "value": n * 2.5, "tags": {"region": "us"}},
                {"name": "gamma \u00e9\u4e16", "value": -n, "tags": {}},
                {"name": "broken", "value": None, "tags": {}},
            ],
        }))


def echo_json(request):
    """POST /echo-json: what arrived, credentials redacted."""
    if request.method != "POST":
        return json_response(405, {"error": "method_not_allowed"}, JSON + b"Allow: POST\r\n")
    denied = refusal(request)
    if denied:
        return denied
    return json_response(200, {
        "method": request.method,
        "path": request.path.decode("latin-1"),
        "query": request.params,
        "headers": shown_headers(request.headers),
        "body": request.json_body(),
        "at": time.time(),
    })
