"""upstream.py: starts and steers the double of the polled services."""
import json
import pathlib
import ssl
import subprocess
import time
import urllib.request

HOME = pathlib.Path(__file__).resolve().parents[2] / "upstream"
PATIENCE_S = 30


class Upstream:
    def __init__(self, work, latency_ms, certificates=None):
        self.scheme = "https" if certificates else "http"
        self.state = work / f"upstream-{self.scheme}.json"
        command = [HOME / "upstream", "--state", self.state, "--latency-ms", str(latency_ms), "--quiet"]
        context = None
        if certificates:
            command += ["--tls", certificates / "good.pem", certificates / "good.key"]
            context = ssl.create_default_context(cafile=certificates / "ca.pem")
        handlers = [urllib.request.ProxyHandler({})]
        if context:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self.opener = urllib.request.build_opener(*handlers)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.wait()

    def wait(self):
        give_up_at = time.monotonic() + PATIENCE_S
        while not self.state.exists():
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                self.stop()
                raise RuntimeError("the upstream did not start")
            time.sleep(0.01)
        port = json.loads(self.state.read_text())["port"]
        self.url = f"{self.scheme}://localhost:{port}"

    def control(self, method, path, body=None):
        request = urllib.request.Request(f"{self.url}/_control/{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        with self.opener.open(request, timeout=PATIENCE_S) as response:
            return json.load(response)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
