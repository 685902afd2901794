"""tokens.py: ES256 tokens by a JWKS document, with openssl's own code."""
import base64
import json
import os
import subprocess
import tempfile
import time

# SubjectPublicKeyInfo of an uncompressed P-256 point up to the point.
P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


class BadToken(Exception):
    pass


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def claims_of(token):
    """The claims that a token states, verified or not."""
    try:
        claims = json.loads(decode(token.split(".")[1]))
    except (ValueError, IndexError) as error:
        raise BadToken("no token") from error
    if not isinstance(claims, dict):
        raise BadToken("no claims")
    return claims


def der_integer(value):
    value = value.lstrip(b"\0") or b"\0"
    value = (b"\0" if value[0] & 0x80 else b"") + value
    return bytes([2, len(value)]) + value


def signature_holds(key, signed, signature):
    body = der_integer(signature[:32]) + der_integer(signature[32:])
    with tempfile.TemporaryDirectory() as directory:
        paths = {name: os.path.join(directory, name) for name in ("key", "signature")}
        for name, content in (("key", P256_PREFIX + decode(key["x"]) + decode(key["y"])),
                              ("signature", bytes([0x30, len(body)]) + body)):
            with open(paths[name], "wb") as file:
                file.write(content)
        return subprocess.run(["openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", paths["key"],
                               "-signature", paths["signature"]],
                              input=signed.encode(), capture_output=True, check=False).returncode == 0


def verify(token, jwks, audience):
    """The claims of a good token, as PostgREST checks them: signature, exp, nbf, aud."""
    claims = claims_of(token)
    try:
        head, _, signature = token.split(".")
        header, signature = json.loads(decode(head)), decode(signature)
        keys = [key for key in jwks["keys"] if key.get("kid") == header.get("kid") and key.get("crv") == "P-256"]
        good = header.get("alg") == "ES256" and len(signature) == 64 and any(
            signature_holds(key, token.rpartition(".")[0], signature) for key in keys)
    except (ValueError, AttributeError) as error:
        raise BadToken("no token") from error
    if not good:
        raise BadToken("bad signature")
    if not claims.get("nbf", 0) - 30 <= time.time() <= claims.get("exp", 0) + 30 or claims.get("aud") != audience:
        raise BadToken("not for now or not for us")
    return claims
