"""web.py: nginx with one document on many addresses, its rivals wrk and curl, and a server that never answers."""
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time

from .process import pin, run_time

PORTS = 100
PATIENCE_S = 30
NEEDED = ("nginx", "wrk", "curl")

CONFIG = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 19000;
pid {home}/nginx.pid;
error_log {home}/nginx.log;
events {{ worker_connections 18000; }}
http {{
    access_log off;
    default_type "text/plain; version=0.0.4";
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 75s;
    keepalive_requests 1000000;
    open_file_cache max=10;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    ssl_certificate {certificates}/good.pem;
    ssl_certificate_key {certificates}/good.key;
    server {{
        root {home}/www;
{listen}
    }}
    server {{
        root {home}/www;
        listen {open_port} backlog=16384;
        allow 127.0.0.0/8;
        deny all;
    }}
}}
"""


def missing():
    """Programs that this part needs and the machine has not."""
    return [name for name in NEEDED if which(name) is None]


def which(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def document():
    """A page of some 10 KB with 20 samples, as an exporter with long descriptions gives it."""
    lines = []
    for number in range(10):
        name = f"app_requests_of_kind_{number}_total"
        lines.append(f"# HELP {name} " + "Requests of this kind that were answered since the start. " * 15)
        lines.append(f"# TYPE {name} counter")
        lines += [f'{name}{{method="get",code="{code}"}} {number * 1234567 + code}.5' for code in (200, 404)]
    return "\n".join(lines) + "\n"


class Web:
    """One worker of nginx, on its own core, with the document on PORTS ports, over TLS on as many others, and on one of every
    address of 127.0.0.0/8."""

    def __init__(self, work, certificates, core):
        self.home = work / "web"
        (self.home / "www").mkdir(parents=True)
        (self.home / "www" / "metrics").write_text(document())
        for path in (work, self.home, self.home / "www"):
            path.chmod(path.stat().st_mode | 0o055)
        self.port, self.secure_port = (free_range(start, PORTS) for start in (20100, 24100))
        self.open_port = free_range(28100, 1)
        listen = "\n".join(f"        listen {address}:{first + number}{what} backlog=16384;"
                           for first, what in ((self.port, ""), (self.secure_port, " ssl"))
                           for number in range(PORTS) for address in ("127.0.0.1", "[::1]"))
        config = self.home / "nginx.conf"
        config.write_text(CONFIG.format(home=self.home, certificates=certificates, listen=listen,
                                        open_port=self.open_port))
        self.process = subprocess.Popen([which("nginx"), "-p", self.home, "-c", config])
        self.wait(core)

    def wait(self, core):
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"nginx did not start: see {self.home}/nginx.log") from error
                time.sleep(0.05)
        for pid in children(self.process.pid):
            pin(pid, core)

    def url(self, number=0, secure=False):
        """The number-th of the addresses."""
        port = (self.secure_port if secure else self.port) + number % PORTS
        return f"https://localhost:{port}/metrics" if secure else f"http://127.0.0.1:{port}/metrics"

    def urls(self, count):
        return [self.url(number) for number in range(min(count, PORTS))]

    def hosts(self, count):
        """Each at an address of its own."""
        return [f"http://127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}:{self.open_port}/metrics"
                for number in range(count)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def free_range(start, count):
    """The first of count ports in a row, on which nobody listens."""
    for first in range(start, start + 4000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise RuntimeError("no free ports")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def wrk_rate(url, connections, seconds):
    """Requests per second of wrk, one thread."""
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url], check=True, capture_output=True,
                          text=True).stdout
    if "Non-2xx" in done:
        raise RuntimeError(done)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", done).group(1))


def curl_rate(url, at_once, count, work):
    """Requests per second of curl --parallel, which allows 300 at once at most."""
    config = work / "curl.conf"
    config.write_text(f'url = "{url}"\noutput = "/dev/null"\n' * count)
    started = time.monotonic()
    subprocess.run(["curl", "-s", "--no-progress-meter", "--parallel", "--parallel-max", str(min(at_once, 300)),
                    "--config", config], check=True)
    return count / (time.monotonic() - started)


class Silence:
    """Takes requests and answers none."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.port = self.listener.getsockname()[1]
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.is_set():
            for key, _ in self.selector.select(0.1):
                if key.fileobj is self.listener:
                    peer, _ = self.listener.accept()
                    peer.setblocking(False)
                    self.selector.register(peer, selectors.EVENT_READ)
                else:
                    self.listen(key.fileobj)

    def listen(self, peer):
        try:
            if peer.recv(4096):
                return
        except OSError:
            pass
        self.selector.unregister(peer)
        peer.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


def cpu_share(pid, seconds):
    """CPU of a process over a time, as a share of one core."""
    before, started = run_time(pid), time.monotonic()
    time.sleep(seconds)
    return (run_time(pid) - before) / 1e9 / (time.monotonic() - started)
