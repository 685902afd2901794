"""message.py: HTTP/1.1 requests as read from the wire and responses as written to it."""
import functools
import http
import json
import time
import urllib.parse

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024

JSON = b"Content-Type: application/json;charset=UTF-8\r\n"
CLOCK = {"ahead_s": 0}  # of the machine's own
TEXT = b"Content-Type: text/plain;charset=UTF-8\r\n"


class BadRequest(Exception):
    """The request cannot be understood; the connection is closed after saying so."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message


class Request:
    """One request. Header names are lower-case bytes; the query is parsed only when asked for."""

    __slots__ = ("method", "path", "query", "headers", "body", "keep_alive", "is_http_10", "_params")

    def __init__(self, method, path, query, headers, keep_alive, is_http_10):
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.keep_alive = keep_alive
        self.is_http_10 = is_http_10
        self.body = b""
        self._params = None

    @property
    def params(self):
        if self._params is None:
            text = self.query.decode("latin-1")
            self._params = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        return self._params

    def header(self, name):
        return self.headers.get(name, b"").decode("latin-1")

    def json_body(self):
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadRequest(400, "the body is not JSON") from None


class Response:
    """One answer: `headers` is a ready block of lines, each ending in CR LF."""

    __slots__ = ("status", "headers", "body", "is_chunked")

    def __init__(self, status, body=b"", headers=JSON, is_chunked=False):
        self.status = status
        self.body = body
        self.headers = headers
        self.is_chunked = is_chunked


def json_response(status, value, headers=JSON):
    return Response(status, compact_json(value), headers)


def compact_json(value):
    return json.dumps(value, separators=(",", ":")).encode()


def split_request(buffer):
    """The first request in `buffer` and the bytes it took, or (None, 0) when more must arrive."""
    end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if end < 0:
        if len(buffer) >= MAX_HEAD_BYTES:
            raise BadRequest(431, "the request's head is too large")
        return None, 0
    request = parse_head(bytes(buffer[:end]))
    start = end + 4
    headers = request.headers
    if b"transfer-encoding" in headers:
        if headers[b"transfer-encoding"].lower() != b"chunked" or b"content-length" in headers:
            raise BadRequest(400, "the body's framing is not understood")
        request.body, after = split_chunked(buffer, start)
        return (request, after) if after else (None, 0)
    if b"content-length" in headers:
        length = headers[b"content-length"]
        if not length.isdigit() or len(length) > 12:
            raise BadRequest(400, "Content-Length is not a number")
        length = int(length)
        if length > MAX_BODY_BYTES:
            raise BadRequest(413, "the body is too large")
        if len(buffer) < start + length:
            return None, 0
        request.body = bytes(buffer[start:start + length])
        start += length
    return request, start


def parse_head(head):
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0") or parts[1][:1] != b"/":
        raise BadRequest(400, "the request line is not HTTP/1.1")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400, "a header line is malformed")
        headers[name.lower()] = value.strip()
    is_http_10 = parts[2] == b"HTTP/1.0"
    connection = headers.get(b"connection", b"").lower()
    keep_alive = b"keep-alive" in connection if is_http_10 else b"close" not in connection
    path, _, query = parts[1].partition(b"?")
    return Request(parts[0].decode("latin-1"), path, query, headers, keep_alive, is_http_10)


def split_chunked(buffer, start):
    """The chunked body that begins at `start` and where it ends, or (b"", 0) when incomplete."""
    pieces = []
    total = 0
    while True:
        eol = buffer.find(b"\r\n", start)
        if eol < 0:
            return b"", 0
        try:
            size = int(bytes(buffer[start:eol]).split(b";")[0], 16)
        except ValueError:
            raise BadRequest(400, "a chunk's size is not a number") from None
        total += size
        if size < 0 or total > MAX_BODY_BYTES:
            raise BadRequest(413, "the body is too large")
        start = eol + 2
        if size == 0:
            trailers_end = start if buffer[start:start + 2] == b"\r\n" else buffer.find(b"\r\n\r\n", start) + 2
            if trailers_end < start or len(buffer) < trailers_end + 2:
                return b"", 0
            return b"".join(pieces), trailers_end + 2
        if len(buffer) < start + size + 2:
            return b"", 0
        pieces.append(bytes(buffer[start:start + size]))
        start += size + 2


@functools.lru_cache(maxsize=1024)
def status_line(status):
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


@functools.lru_cache(maxsize=2)
def date_line_at(second):
    return time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(second)).encode()


def clock_now():
    """What time it is for the upstream."""
    return int(time.time()) + CLOCK["ahead_s"]


def date_line():
    return date_line_at(clock_now())


def encode(response, request):
    """The bytes of a whole answer; HTTP/1.0 and HEAD keep their own rules."""
    close = b"" if request.keep_alive else b"Connection: close\r\n"
    body = response.body
    has_body = response.status >= 200 and response.status not in (204, 304)
    if not has_body:
        framing = b"\r\n"
        body = b""
    elif response.is_chunked and body and not request.is_http_10:
        framing = b"Transfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        framing = b"Content-Length: %d\r\n\r\n" % len(body)
    if request.method == "HEAD":
        body = b""
    return b"".join((status_line(response.status), date_line(), response.headers, close, framing, body))
