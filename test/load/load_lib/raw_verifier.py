"""raw_verifier.py: OpenSSL alone, in a C program of its own, on the tokens of the benchmark."""
import base64
import os
import subprocess

from .process import pin

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "raw_verify.c")


def url_decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_in_hex(jwk):
    """What raw_verify.c takes as KEY: the point, or the secret."""
    if jwk["kty"] == "oct":
        return url_decode(jwk["k"]).hex()
    return (b"\x04" + url_decode(jwk["x"]) + url_decode(jwk["y"])).hex()


def build(work):
    program = work / "raw_verify"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", program, SOURCE, "-lcrypto"], check=True)
    return program


class RawVerifier:
    """Has all of the tokens verified in turn, so many at a time."""

    def __init__(self, program, jwk, tokens, core):
        self.process = subprocess.Popen([program, jwk["alg"], key_in_hex(jwk)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        pin(self.process.pid, core)
        for token in tokens:
            signed, _, signature = token.rpartition(".")
            self.process.stdin.write(f"{signed} {url_decode(signature).hex()}\n")
        self.process.stdin.write("\n")

    def verify(self, count):
        """CPU time in nanoseconds of one verification."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("raw_verify has given up")
        return int(answer) / count

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
