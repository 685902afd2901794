"""faults_content.py: answers that are sound HTTP around a wrong body, status or header."""
import os
import time
import urllib.parse

from .message import JSON, TEXT, Response, compact_json, json_response

HTML = b"Content-Type: text/html;charset=UTF-8\r\n"
MAX_REPEATED = 16 * 1024 * 1024


def api_shape(request, code, message):
    """An error as the path asked for words it: Salesforce's API, its OAuth, or anything else."""
    if request.path.startswith(b"/services/oauth2/"):
        return {"error": code.lower(), "error_description": message}
    if request.path.startswith(b"/services/data"):
        return [{"message": message, "errorCode": code}]
    return {"error": code, "message": message}


def garbage(request, params):
    return Response(200, os.urandom(params.number("bytes", 4096, most=MAX_REPEATED)))


def bad_gzip(request, params):
    """Said to be compressed, and is not."""
    return Response(200, b"\x1f\x8b" + os.urandom(params.number("bytes", 4096, most=MAX_REPEATED)),
                    JSON + b"Content-Encoding: gzip\r\n")


def html(request, params):
    page = b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>We'll be right back</h1></body></html>\n"
    return Response(params.number("code", 200, 100, 999), page, HTML)


def empty(request, params):
    return Response(params.number("code", 200, 100, 999), b"")


def not_json(request, params):
    return Response(200, b"{limits: everything is fine,}")


def deep(request, params):
    depth = params.number("depth", 100_000, most=MAX_REPEATED // 2)
    if params.flag("objects"):
        return Response(200, b'{"a":' * depth + b"0" + b"}" * depth)
    return Response(200, b"[" * depth + b"]" * depth)


def bad_utf8(request, params):
    return Response(200, b'{"DailyApi\xc3\x28Requests":{"Max":5,"Remaining":4},"name":"\xff\xfe\xed\xa0\x80\xf5"}')


def nul(request, params):
    zero = b"\x00" if params.flag("raw") else b"\\u0000"
    return Response(200, b'{"Daily%bApi":{"Max":5,"Remaining":4},"name":"a%bb","value":1}' % (zero, zero))


def huge_number(request, params):
    digits = b"9" * params.number("digits", 400, 1, MAX_REPEATED)
    return Response(200, b'{"DailyApiRequests":{"Max":1e999,"Remaining":-1e999},"Digits":{"Max":%b,"Remaining":-%b},'
                         b'"value":%b,"exponent":1e99999999999999999999}' % (digits, digits, digits))


def status(request, params):
    code = params.number("code", 503, 100, 999)
    retry_after = params.text("retry_after")
    headers = JSON
    if retry_after.startswith("date:"):
        # date:N is an HTTP date N seconds ahead (RFC 9110 section 10.2.3).
        at = time.gmtime(time.time() + int(retry_after[5:]))
        retry_after = time.strftime("%a, %d %b %Y %H:%M:%S GMT", at)
    if retry_after:
        headers += b"Retry-After: %b\r\n" % header_value(retry_after)
    if "body" in params.values:
        return Response(code, params.text("body").encode(), headers)
    if code == 503:
        return json_response(code, api_shape(request, "SERVER_UNAVAILABLE", "maintenance"), headers)
    return json_response(code, api_shape(request, "UNKNOWN_EXCEPTION", f"status {code} on purpose"), headers)


def redirect(request, params):
    code = params.number("code", 302, 300, 399)
    return Response(code, b"", TEXT + b"Location: %b\r\n" % header_value(params.text("to", "/json")))


def redirect_loop(request, params):
    """Each hop has an address of its own, so that only counting hops ends it."""
    hop = int(request.params.get("hop", "0")) + 1
    query = urllib.parse.urlencode({**request.params, "hop": hop})
    return Response(302, b"", TEXT + b"Location: %b?%b\r\n" % (request.path, query.encode()))


def ok_with_error(request, params):
    code = params.text("error_code", "UNKNOWN_EXCEPTION")
    return json_response(200, api_shape(request, code, "an unexpected error occurred"))


def body(request, params):
    """Whatever the caller says."""
    given = params.values.get("body", "")
    payload = given.encode() if isinstance(given, str) else compact_json(given)
    kind = header_value(params.text("content_type", "application/json;charset=UTF-8"))
    return Response(params.number("code", 200, 100, 999), payload, b"Content-Type: %b\r\n" % kind)


def header_value(text):
    if "\r" in text or "\n" in text:
        raise ValueError("a header value cannot hold a line break")
    return text.encode()


CONTENT_FAULTS = {
    "garbage": garbage, "bad-gzip": bad_gzip, "html": html, "empty": empty, "not-json": not_json, "deep": deep,
    "bad-utf8": bad_utf8, "nul": nul, "huge-number": huge_number, "status": status,
    "redirect": redirect, "redirect-loop": redirect_loop, "200-with-error": ok_with_error, "body": body,
}
