"""rest_api.py: Salesforce's REST API, of which pg_saas asks the limits and the versions."""
import re
import zlib

from .message import JSON, Response, compact_json
from .registry import read_fixture

FIRST_VERSION = 29
LAST_VERSION = 66
GZIP_FROM_BYTES = 860

LIMITS_PATH = re.compile(rb"/services/data/v([0-9]{1,3})\.0(/.*)?$")

COMMON = JSON + (
    b"Cache-Control: no-cache,must-revalidate,max-age=0,no-store,private\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Vary: Accept-Encoding\r\n")


def error_response(name, extra=b""):
    entry = read_fixture("salesforce-errors.json")[name]
    return Response(entry["status"], compact_json(entry["body"]), COMMON + extra, is_chunked=True)


SESSION_INVALID = error_response("api_session_expired", b"WWW-Authenticate: Token\r\n")
BAD_AUTH_HEADER = error_response("api_bad_auth_header", b"WWW-Authenticate: Token\r\n")
DAILY_LIMIT = error_response("api_daily_limit")
NOT_FOUND = error_response("api_not_found")


def version_label(number):
    """Three releases a year; 20.0 was Winter '11."""
    year, season = divmod(number - 20, 3)
    return f"{('Winter', 'Spring', 'Summer')[season]} '{11 + year}"


VERSIONS = Response(200, compact_json([
    {"label": version_label(n), "url": f"/services/data/v{n}.0", "version": f"{n}.0"}
    for n in range(FIRST_VERSION, LAST_VERSION + 1)]), COMMON, is_chunked=True)


class RestApi:
    def __init__(self, server):
        self.server = server
        self.registry = server.registry

    def versions(self, request):
        return VERSIONS if request.method in ("GET", "HEAD") else method_not_allowed(request)

    def answer(self, request):
        match = LIMITS_PATH.match(request.path)
        if not match or not FIRST_VERSION <= int(match[1]) <= LAST_VERSION:
            return NOT_FOUND
        return self.limits(request) if match[2] in (b"/limits", b"/limits/") else self.unknown(request)

    def unknown(self, request):
        org, refusal = self.admit(request)
        return refusal or with_usage(org, NOT_FOUND)

    def limits(self, request):
        self.server.stats.limits_requests += 1
        org, refusal = self.admit(request)
        if org is not None:
            org.stats.limits_requests += 1
        if refusal is not None:
            return refusal
        if request.method not in ("GET", "HEAD"):
            return with_usage(org, method_not_allowed(request))
        org.stats.limits_served += 1
        body = org.document.render(org.remaining or 0)
        headers = COMMON + usage_line(org)
        if len(body) >= GZIP_FROM_BYTES and b"gzip" in request.headers.get(b"accept-encoding", b""):
            body = zlib.compress(body, 1, wbits=31)
            headers += b"Content-Encoding: gzip\r\n"
        return Response(200, body, headers, is_chunked=True)

    def admit(self, request):
        """(org, None) when the request may go on; else (the org if known, the refusal)."""
        value = request.headers.get(b"authorization")
        if value is None:
            self.server.stats.unauthorized += 1
            return None, SESSION_INVALID
        scheme, _, text = value.decode("latin-1").partition(" ")
        text = text.strip()
        if scheme.lower() not in ("bearer", "oauth") or not text or " " in text:
            self.server.stats.unauthorized += 1
            return None, BAD_AUTH_HEADER
        token = self.registry.access_tokens.get(text)
        if token is None:
            self.server.stats.unauthorized += 1
            return None, SESSION_INVALID
        org = token.org
        org.stats.saw(request)
        if not token.is_live():
            self.server.stats.unauthorized += 1
            org.stats.unauthorized += 1
            return org, SESSION_INVALID
        if not org.spend_request():
            return org, with_usage(org, DAILY_LIMIT)
        return org, None


def usage_line(org):
    usage = org.usage()
    return b"Sforce-Limit-Info: api-usage=%d/%d\r\n" % usage if usage else b""


def with_usage(org, response):
    return Response(response.status, response.body, response.headers + usage_line(org), is_chunked=True)


def method_not_allowed(request):
    body = [{"message": f"HTTP Method '{request.method}' not allowed. Allowed are GET, HEAD",
             "errorCode": "METHOD_NOT_ALLOWED"}]
    return Response(405, compact_json(body), COMMON + b"Allow: GET, HEAD\r\n", is_chunked=True)
