"""connection.py: one client connection; one request is answered at a time, in order."""
import asyncio

from .message import BadRequest, Request, encode, json_response, split_request

READ_AHEAD_BYTES = 1024 * 1024


class Connection(asyncio.Protocol):
    """Reads requests and hands each to the server, which ends it by `answer` or `run`."""

    __slots__ = ("server", "transport", "buffer", "is_busy", "is_told_to_continue",
                 "is_paused", "task", "drained", "timer", "__weakref__")

    def __init__(self, server):
        self.server = server
        self.transport = None
        self.buffer = bytearray()
        self.is_busy = False
        self.is_told_to_continue = False
        self.is_paused = False
        self.task = None
        self.drained = None
        self.timer = None

    def connection_made(self, transport):
        self.transport = transport
        self.server.connection_opened()

    def connection_lost(self, exc):
        self.server.connection_closed()
        if self.is_busy:
            self.end_request()
        if self.timer is not None:
            self.timer.cancel()
        if self.task is not None:
            self.task.cancel()
        self.resume_writing()

    def data_received(self, data):
        self.buffer += data
        if self.is_busy:
            if len(self.buffer) > READ_AHEAD_BYTES:
                self.transport.pause_reading()
        else:
            self.advance()

    def advance(self):
        while self.buffer and not self.is_busy and not self.transport.is_closing():
            try:
                request, taken = split_request(self.buffer)
            except BadRequest as error:
                self.refuse(error)
                return
            if request is None:
                self.send_continue()
                return
            del self.buffer[:taken]
            self.is_told_to_continue = False
            self.begin_request()
            self.server.handle(self, request)

    def send_continue(self):
        """A client that waits for 100 Continue would otherwise hold its body back for a second."""
        end = self.buffer.find(b"\r\n\r\n")
        if end > 0 and not self.is_told_to_continue and b"100-continue" in self.buffer[:end].lower():
            self.is_told_to_continue = True
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def refuse(self, error):
        request = Request("GET", b"/", b"", {}, False, False)
        body = {"error": "bad_request", "message": error.message}
        self.transport.write(encode(json_response(error.status, body), request))
        self.transport.close()

    def begin_request(self):
        self.is_busy = True
        self.server.request_began()

    def end_request(self):
        self.is_busy = False
        self.server.request_ended()

    def answer(self, payload, keep_alive, delay_s=0.0):
        """Ends the request with these bytes, now or after a delay that blocks nobody."""
        if delay_s > 0:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(delay_s, self.answer_now, payload, keep_alive, True)
        else:
            self.answer_now(payload, keep_alive, False)

    def answer_now(self, payload, keep_alive, is_late):
        self.timer = None
        if self.transport.is_closing():
            return
        self.transport.write(payload)
        self.finish(keep_alive, is_late)

    def finish(self, keep_alive, is_late):
        self.end_request()
        if not keep_alive:
            self.transport.close()
        elif is_late:
            self.transport.resume_reading()
            self.advance()

    def run(self, coroutine):
        """Ends the request by a coroutine that writes by itself and says whether to keep alive."""
        self.task = asyncio.get_running_loop().create_task(self.supervise(coroutine))

    async def supervise(self, coroutine):
        keep_alive = False
        try:
            keep_alive = await coroutine
        except ConnectionError:
            pass
        self.task = None
        if not self.transport.is_closing():
            self.finish(keep_alive, True)

    async def send(self, data):
        """Writes and waits while the client reads too slowly to take more."""
        if self.transport.is_closing():
            raise ConnectionResetError
        self.transport.write(data)
        if self.is_paused:
            self.drained = asyncio.get_running_loop().create_future()
            await self.drained

    def pause_writing(self):
        self.is_paused = True

    def resume_writing(self):
        self.is_paused = False
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        self.drained = None
