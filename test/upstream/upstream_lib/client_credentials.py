"""client_credentials.py: an OAuth 2.0 token endpoint for machines (RFC 6749, sections 2.3.1, 4.4 and 5)."""
import base64
import collections
import hmac
import secrets
import time
import urllib.parse

from .message import JSON, Response, compact_json

FORM = "application/x-www-form-urlencoded"
HEADERS = JSON + b"Cache-Control: no-store\r\nPragma: no-cache\r\n"
CHALLENGE = b"WWW-Authenticate: Basic realm=\"upstream\"\r\n"
WAYS = ("any", "basic", "body")


class Client:
    def __init__(self, spec):
        self.client_id = spec.get("client_id") or "client-" + secrets.token_hex(8)
        self.client_secret = spec.get("client_secret") or secrets.token_urlsafe(24)
        self.scopes = spec.get("scopes") or ["read"]
        self.audience = spec.get("audience")
        self.client_auth = spec.get("client_auth") or "any"
        self.token_ttl_s = spec.get("token_ttl_s", 3600)
        self.tokens = {}  # text: when it expires
        self.issued = 0
        self.errors = collections.Counter()
        if self.client_auth not in WAYS:
            raise ValueError("client_auth must be any, basic or body")

    def describe(self):
        return {"client_id": self.client_id, "client_secret": self.client_secret, "scopes": self.scopes,
                "audience": self.audience, "client_auth": self.client_auth, "token_ttl_s": self.token_ttl_s,
                "tokens_issued": self.issued, "token_errors": dict(self.errors),
                "access_token": next(reversed(self.tokens), None)}


class Clients:
    def __init__(self):
        self.by_id = {}

    def add(self, spec):
        client = Client(spec)
        self.by_id[client.client_id] = client
        return client

    def has_token(self, text):
        """Whether a bearer token is one that lives."""
        now = time.time()
        return any(client.tokens.get(text, 0) > now for client in self.by_id.values())

    def answer(self, request):
        """POST /oauth/token."""
        client, error = self.authenticate(request)
        status, body, headers = error or self.grant(request, client)
        if client is not None and "error" in body:
            client.errors[body["error"]] += 1
        return Response(status, compact_json(body), HEADERS + headers)

    def authenticate(self, request):
        """(client, None), or (client or None, error)."""
        if request.method != "POST":
            return None, refusal("invalid_request", "the token endpoint takes POST")
        if request.header(b"content-type").partition(";")[0].strip().lower() != FORM:
            return None, refusal("invalid_request", "the body must be a form")
        form = form_of(request)
        basic = basic_of(request)
        if basic and "client_secret" in form:
            return None, refusal("invalid_request", "more than one way to authenticate")
        client_id, client_secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        client = self.by_id.get(client_id)
        if client is None or not hmac.compare_digest(client.client_secret.encode(), client_secret.encode()):
            return client, refusal("invalid_client", "unknown client or wrong secret", 401, CHALLENGE if basic else b"")
        if client.client_auth not in ("any", "basic" if basic else "body"):
            return client, refusal("invalid_client", "this client authenticates otherwise", 401)
        return client, None

    def grant(self, request, client):
        form = form_of(request)
        wanted = form.get("scope", "").split() or client.scopes
        if form.get("grant_type") != "client_credentials":
            return refusal("unsupported_grant_type", "only client_credentials")
        if not set(wanted) <= set(client.scopes):
            return refusal("invalid_scope", "not a scope of this client")
        if client.audience is not None and form.get("audience") != client.audience:
            return refusal("invalid_target", "not an audience of this client")
        text = secrets.token_urlsafe(32)
        client.tokens[text] = time.time() + client.token_ttl_s
        client.issued += 1
        return 200, {"access_token": text, "token_type": "Bearer", "expires_in": client.token_ttl_s,
                     "scope": " ".join(wanted)}, b""


def refusal(code, description, status=400, headers=b""):
    return status, {"error": code, "error_description": description}, headers


def form_of(request):
    return dict(urllib.parse.parse_qsl(request.body.decode("latin-1"), keep_blank_values=True))


def basic_of(request):
    """Id and secret of HTTP Basic, each decoded from its form encoding; None without."""
    scheme, _, encoded = request.header(b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, client_secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return urllib.parse.unquote_plus(client_id), urllib.parse.unquote_plus(client_secret)


CLIENTS = Clients()
