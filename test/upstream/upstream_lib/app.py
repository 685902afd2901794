"""app.py: the command line, the listening socket, and the process's life."""
import argparse
import asyncio
import errno
import gc
import json
import os
import pathlib
import random
import resource
import signal
import socket
import ssl
import sys

from .connection import Connection
from .server import Server

BACKLOG = 4096
# Below Linux's ephemeral range, so that no outgoing connection takes the port first.
FREE_PORTS = range(20000, 32768)
PARENT_CHECK_S = 0.5


def parse_arguments():
    parser = argparse.ArgumentParser(prog="upstream", description=__doc__.partition(":")[2])
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks a free one below 32768")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="serve https with these PEM files")
    parser.add_argument("--tls-1.2-ciphers", dest="ciphers", metavar="LIST", help="serve TLS 1.2 with these alone")
    parser.add_argument("--state", metavar="FILE", help="file to write {port, pid} to once listening")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="delay of every answer")
    parser.add_argument("--quiet", action="store_true", help="do not log requests")
    parser.add_argument("--outlive-parent", action="store_true", help="keep running when the parent dies")
    return parser.parse_args()


def bind(host, port):
    """A bound socket; with port 0, on a free port below the ephemeral range."""
    candidates = [port] if port else random.sample(FREE_PORTS, 200)
    for candidate in candidates:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            # Binding alone does not keep out another socket with SO_REUSEADDR; listening does.
            listener.listen(BACKLOG)
            return listener
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE or candidate == candidates[-1]:
                raise
    return None


def raise_file_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tls_context(certificate, key, ciphers):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        # An odd number of 10,000 bits, no prime: whoever calculates with it takes long.
        context.load_dh_params(pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "dh-10000.pem")
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def write_state(path, port):
    """The file appears whole or not at all."""
    partial = f"{path}.{os.getpid()}"
    with open(partial, "w", encoding="ascii") as file:
        file.write(json.dumps({"port": port, "pid": os.getpid()}) + "\n")
    os.replace(partial, path)


async def watch_parent(stop):
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK_S)
    stop.set()


def on_loop_error(loop, context):
    """A client that goes away in mid-handshake or mid-answer is no news; the rest is."""
    error = context.get("exception")
    if not isinstance(error, (OSError, ssl.SSLError)):
        loop.default_exception_handler(context)


async def serve(arguments):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(on_loop_error)
    context = tls_context(*arguments.tls, arguments.ciphers) if arguments.tls else None
    server = Server("https" if context else "http", arguments.latency_ms / 1000, arguments.quiet)
    listener = bind(arguments.host, arguments.port)
    server.port = listener.getsockname()[1]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listening = await loop.create_server(lambda: Connection(server), sock=listener, ssl=context, backlog=BACKLOG)
    gc.freeze()
    watcher = None if arguments.outlive_parent else loop.create_task(watch_parent(stop))
    if arguments.state:
        write_state(arguments.state, server.port)
    if not arguments.quiet:
        print(f"upstream: listening on {server.scheme}://{arguments.host}:{server.port}", file=sys.stderr, flush=True)
    await stop.wait()
    listening.close()
    if watcher is not None:
        watcher.cancel()


def main():
    arguments = parse_arguments()
    raise_file_limit()
    try:
        asyncio.run(serve(arguments))
    except OSError as error:
        print(f"upstream: {error}", file=sys.stderr)
        return 1
    return 0
