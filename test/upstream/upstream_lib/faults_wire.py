"""faults_wire.py: answers that are wrong in time or framing; each is a coroutine that writes by itself.

Each returns whether the connection may be used again. `genuine` is the answer that would have
been given (its effects have happened): slow, truncated and reset answers are made of it.
"""
import asyncio
import functools
import socket
import struct

from .gzip_bomb import make_bomb, make_nested_bomb
from .message import JSON, TEXT, Response, date_line, encode, status_line

PIECE = 64 * 1024


async def slow_header(connection, request, genuine, params):
    ms = params.number("ms", 1000)
    payload = encode(genuine, request)
    end = payload.index(b"\r\n\r\n") + 4
    if params.flag("drip"):
        for i in range(end):
            await connection.send(payload[i:i + 1])
            await asyncio.sleep(ms / 1000)
    else:
        await asyncio.sleep(ms / 1000)
        await connection.send(payload[:end])
    await connection.send(payload[end:])
    return request.keep_alive


async def slow_body(connection, request, genuine, params):
    ms = params.number("ms", 100)
    genuine = Response(genuine.status, genuine.body, genuine.headers)
    payload = encode(genuine, request)
    end = payload.index(b"\r\n\r\n") + 4
    await connection.send(payload[:end])
    for i in range(end, len(payload)):
        await asyncio.sleep(ms / 1000)
        await connection.send(payload[i:i + 1])
    return request.keep_alive


async def held(connection, request, genuine, params):
    """The genuine answer, once the rule has been deleted or has held `together` requests: never without one."""
    await params.released.wait()
    await connection.send(encode(genuine, request))
    return request.keep_alive


async def heavy(connection, request, genuine, params):
    """A JSON object of `bytes` bytes that ends once the rule has been deleted; it holds what http_json asks for."""
    opening, closing = b'{"padding":"', b'","served":1}'
    size = params.number("bytes", 1000000, len(opening) + len(closing), 1 << 30)
    await connection.send(status_line(200) + date_line() + JSON + b"Content-Length: %d\r\n\r\n" % size + opening)
    left = size - len(opening) - len(closing)
    while left > 0:
        await connection.send(b"a" * min(left, PIECE))
        left -= PIECE
    await params.released.wait()
    await connection.send(closing)
    return request.keep_alive


async def stall(connection, request, genuine, params):
    if params.flag("after_header"):
        payload = encode(Response(200, genuine.body, genuine.headers), request)
        await connection.send(payload[:payload.index(b"\r\n\r\n") + 4])
    await asyncio.Event().wait()


async def endless(connection, request, genuine, params):
    kind, opening, piece, _ = filler(params)
    await connection.send(status_line(200) + date_line() + kind + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(opening))
    piece = chunk(piece * max(1, PIECE // len(piece)))
    pause_s = params.number("ms", 0) / 1000
    while True:
        await connection.send(piece)
        await asyncio.sleep(pause_s)


async def huge(connection, request, genuine, params):
    """A well-formed body of exactly `bytes` bytes."""
    size = params.number("bytes", 52428800)
    kind, opening, piece, closing = filler(params)
    is_chunked = params.flag("chunked")
    framing = b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked else b"Content-Length: %d\r\n\r\n" % size
    await connection.send(status_line(200) + date_line() + kind + framing)
    frame = chunk if is_chunked else bytes
    for part in parts_of(size, opening, piece, closing):
        await connection.send(frame(part))
        await asyncio.sleep(0)
    if is_chunked:
        await connection.send(b"0\r\n\r\n")
    return request.keep_alive


def filler(params):
    """(content type, opening, repeated piece, closing) of a body of any length."""
    if params.text("format") == "prometheus":
        return b"Content-Type: text/plain; version=0.0.4\r\n", b"# endless\n", b'demo_flood{n="0"} 1\n', b"\n"
    if params.text("format") == "array":
        return JSON, b"[0", b",0", b"]"
    return JSON, b'{"padding":"', b"a", b'"}'


def parts_of(size, opening, piece, closing):
    """The body in parts; spaces fill what is left over after the last whole piece."""
    if size < len(opening) + len(closing):
        yield b" " * size
        return
    yield opening
    count, rest = divmod(size - len(opening) - len(closing), len(piece))
    per_part = max(1, PIECE // len(piece))
    for _ in range(count // per_part):
        yield piece * per_part
    last = piece * (count % per_part)
    if last:
        yield last
    yield closing + b" " * rest


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


@functools.lru_cache(maxsize=4)
def cached_bomb(size):
    return make_bomb(size)


async def gzip_bomb(connection, request, genuine, params):
    size = params.number("bytes", 1 << 30, most=1 << 34)
    payload = await asyncio.get_running_loop().run_in_executor(None, cached_bomb, size)
    await connection.send(encode(Response(200, payload, JSON + b"Content-Encoding: gzip\r\n"), request))
    return request.keep_alive


async def nested_gzip(connection, request, genuine, params):
    """Compressed `levels` times, as one list, a line each, or half of it in an interim answer."""
    levels = params.number("levels", 4, 1, 8)
    header, way = params.text("header", "Content-Encoding").encode(), params.text("way", "list")
    lines = [header + b": " + b", ".join([b"gzip"] * levels) + b"\r\n"]
    if way == "lines":
        lines = [header + b": gzip\r\n"] * levels
    elif way == "interim":
        await connection.send(b"HTTP/1.1 103 Early Hints\r\n" + (header + b": gzip\r\n") * (levels - 1) + b"\r\n")
        lines = [header + b": gzip\r\n"]
    payload = make_nested_bomb(levels)
    await connection.send(encode(Response(200, payload, JSON + b"".join(lines)), request))
    return request.keep_alive


async def coded(connection, request, genuine, params):
    """The genuine answer, not compressed, with a line that says how it is."""
    line = b"%b: %b\r\n" % (params.text("header", "Content-Encoding").encode(), params.text("coding", "identity").encode())
    await connection.send(encode(Response(genuine.status, genuine.body, genuine.headers + line), request))
    return request.keep_alive


async def endless_interim(connection, request, genuine, params):
    while True:
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 64)
        await asyncio.sleep(0)


async def endless_trailers(connection, request, genuine, params):
    await connection.send(status_line(200) + date_line() + JSON + b"Transfer-Encoding: chunked\r\n\r\n" +
                          chunk(genuine.body) + b"0\r\n")
    while True:
        await connection.send((b"X-Trailer: " + b"t" * 1000 + b"\r\n") * 64)
        await asyncio.sleep(0)


async def reset(connection, request, genuine, params):
    """A TCP reset in mid-body, or with `at=start` before any byte of the answer."""
    if params.text("at") != "start":
        payload = encode(Response(genuine.status, genuine.body, genuine.headers), request)
        end = payload.index(b"\r\n\r\n") + 4
        await connection.send(payload[:end + len(genuine.body) // 2])
    linger = struct.pack("ii", 1, 0)
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.transport.abort()
    return False


async def truncated(connection, request, genuine, params):
    """Content-Length promises more than comes before the connection closes."""
    missing = params.number("missing", 100, 1)
    lines = status_line(genuine.status) + date_line() + genuine.headers
    length = b"Content-Length: %d\r\n\r\n" % (len(genuine.body) + missing)
    await connection.send(lines + length + genuine.body)
    return False


async def close(connection, request, genuine, params):
    """Closes without a word: an empty reply."""
    return False


async def drop(connection, request, genuine, params):
    """Answers well, promises to keep the connection, and closes it."""
    await connection.send(encode(genuine, request))
    return False


async def not_http(connection, request, genuine, params):
    await connection.send(b"SSH-2.0-OpenSSH_9.2p1\r\n" + b"\x00\x01\x02\x03" * 64)
    return False


async def endless_headers(connection, request, genuine, params):
    await connection.send(status_line(200) + date_line() + TEXT)
    pause_s = params.number("ms", 0) / 1000
    line = b"X-Filler: " + b"f" * 1000 + b"\r\n"
    while True:
        await connection.send(line * (1 if pause_s else 64))
        await asyncio.sleep(pause_s)


WIRE_FAULTS = {
    "slow-header": slow_header, "slow-body": slow_body, "held": held, "heavy": heavy, "stall": stall, "endless": endless,
    "huge": huge, "gzip-bomb": gzip_bomb, "reset": reset, "truncated": truncated, "close": close, "drop": drop,
    "not-http": not_http, "endless-headers": endless_headers, "nested-gzip": nested_gzip, "coded": coded,
    "endless-interim": endless_interim, "endless-trailers": endless_trailers,
}

# What these send is the genuine answer or begins like it, so asking for it must take effect.
MADE_OF_THE_GENUINE_ANSWER = frozenset(("slow-header", "slow-body", "held", "reset", "truncated", "drop", "coded", "endless-trailers"))
