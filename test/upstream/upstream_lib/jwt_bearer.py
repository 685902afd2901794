"""jwt_bearer.py: signed assertions (RFC 7523) as Salesforce takes them: RS256, three minutes at most."""
import base64
import binascii
import hashlib
import hmac
import json
import re
import time

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
MAX_LIFE_S = 180
POOLS = ("https://login.salesforce.com", "https://test.salesforce.com")

# DigestInfo of SHA-256 up to the digest itself (RFC 8017, section 9.2).
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


class PublicKey:
    """An RSA key from PEM, "PUBLIC KEY" (RFC 5280)."""

    def __init__(self, pem):
        match = re.fullmatch(r"\s*-----BEGIN PUBLIC KEY-----([\sA-Za-z0-9+/=]+)-----END PUBLIC KEY-----\s*", pem)
        if not match:
            raise ValueError("public_key must be a public key in PEM")
        try:
            info = sequence(base64.b64decode("".join(match[1].split()), validate=True))
            numbers = sequence(info[1][1][1:])
            self.modulus, self.exponent = (int.from_bytes(number, "big") for _, number in numbers)
        except (IndexError, ValueError, binascii.Error) as error:
            raise ValueError("public_key must be an RSA key") from error

    def verifies(self, message, signature):
        """PKCS #1 v1.5: the whole padding is built and compared, nothing in it is parsed."""
        size = (self.modulus.bit_length() + 7) // 8
        digest = SHA256_PREFIX + hashlib.sha256(message).digest()
        expected = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
        number = int.from_bytes(signature, "big")
        if len(signature) != size or number >= self.modulus:
            return False
        return hmac.compare_digest(pow(number, self.exponent, self.modulus).to_bytes(size, "big"), expected)


def element(der):
    """((tag, content), the rest) of the DER element that begins there."""
    tag, length, start = der[0], der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    if start + length > len(der):
        raise ValueError("cut short")
    return (tag, der[start:start + length]), der[start + length:]


def sequence(der):
    """The elements of the one sequence that der is."""
    (tag, content), rest = element(der)
    if tag != 0x30 or rest:
        raise ValueError("no sequence")
    found = []
    while content:
        one, content = element(content)
        found.append(one)
    return found


def decode(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


class Assertion:
    """The parts of a compact JWS; ValueError when it is none."""

    def __init__(self, text):
        header, payload, signature = text.split(".")
        self.signed = f"{header}.{payload}".encode("ascii")
        self.header = json.loads(decode(header))
        self.claims = json.loads(decode(payload))
        self.signature = decode(signature)
        if not isinstance(self.header, dict) or not isinstance(self.claims, dict):
            raise ValueError("no objects")

    def claim(self, name):
        value = self.claims.get(name)
        return value if isinstance(value, str) else ""


def read(text):
    """The assertion, None when the text is none."""
    try:
        return Assertion(text)
    except ValueError:
        return None


def refusal(assertion, org, base_url):
    """Why the org does not take it, as error_description; None when it does."""
    expires = assertion.claims.get("exp")
    if assertion.header.get("alg") != "RS256" or not org.key or not org.key.verifies(assertion.signed, assertion.signature):
        return "invalid assertion"
    if assertion.claim("aud").rstrip("/") not in (*POOLS, base_url):
        return "audience is invalid"
    if not isinstance(expires, (int, float)) or expires <= time.time():
        return "expired authorization code"
    if expires > time.time() + MAX_LIFE_S:
        return "invalid assertion"
    return None if assertion.claim("sub") == org.username else "user hasn't approved this consumer"
