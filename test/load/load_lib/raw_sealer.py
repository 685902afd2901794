"""raw_sealer.py: OpenSSL alone, in a C program of its own, sealing and opening values."""
import os
import subprocess

from .process import pin

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "raw_seal.c")


class RawSealer:
    """Seals or opens values of so many bytes."""

    def __init__(self, work, size, core):
        program = work / "raw_seal"
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", program, SOURCE, "-lcrypto"], check=True)
        self.process = subprocess.Popen([program, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pin(self.process.pid, core)

    def run(self, what, count):
        """CPU time in nanoseconds of one value."""
        self.process.stdin.write(f"{what} {count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("raw_seal has given up")
        return int(answer) / count

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
