"""oauth.py: Salesforce's token endpoint: refresh tokens with and without rotation, signed assertions."""
import base64
import hashlib
import hmac
import time
import urllib.parse

from . import jwt_bearer
from .message import JSON, Response, compact_json
from .org import RefreshToken
from .registry import read_fixture

HEADERS = JSON + b"Cache-Control: no-cache,must-revalidate,max-age=0,no-store,private\r\nPragma: no-cache\r\n"
FORM = "application/x-www-form-urlencoded"

ERRORS = {name: (entry["status"], entry["body"])
          for name, entry in read_fixture("salesforce-errors.json").items() if name.startswith("token_")}


def invalid_request(description):
    return 400, {"error": "invalid_request", "error_description": description}


def invalid_grant(description):
    return 400, {"error": "invalid_grant", "error_description": description}


class TokenEndpoint:
    def __init__(self, server):
        self.server = server
        self.registry = server.registry

    def answer(self, request):
        org = self.registry.org_of(request)
        status, body = self.exchange(request)
        self.server.stats.token_requests += 1
        if org is not None:
            org.stats.token_requests += 1
            org.stats.saw(request)
            if "error" in body:
                org.stats.token_errors[body["error"]] += 1
            else:
                org.stats.tokens_issued += 1
        return Response(status, compact_json(body), HEADERS, is_chunked=True)

    def exchange(self, request):
        if request.method != "POST":
            return invalid_request("must use HTTP POST")
        # A body of another type is not read at all, so no grant_type is seen in it.
        content_type = request.header(b"content-type").partition(";")[0].strip().lower()
        form = read_form(request) if content_type == FORM else {}
        grant = form.get("grant_type")
        if grant == "refresh_token":
            return self.refresh(request, form)
        if grant == jwt_bearer.GRANT:
            return self.take_assertion(request, form)
        return ERRORS["token_unsupported_grant"]

    def refresh(self, request, form):
        client_id, client_secret = client_credentials(request, form)
        token = self.registry.refresh_tokens.get(form.get("refresh_token", ""))
        org = token.org if token else None
        if (org is None or org.client_id != client_id) and not self.registry.is_client(client_id):
            return ERRORS["token_invalid_client_id"]
        if "refresh_token" not in form:
            return invalid_request("missing required parameter: refresh_token")
        if org is None or org.client_id != client_id:
            return ERRORS["token_invalid_grant"]
        if not hmac.compare_digest(org.client_secret.encode(), client_secret.encode()):
            return ERRORS["token_invalid_client"]
        if token.state == RefreshToken.USED:
            org.stats.refresh_token_reuses += 1
            self.registry.revoke(org)
        if token.state != RefreshToken.CURRENT:
            return ERRORS["token_invalid_grant"]
        return 200, self.grant(org, self.server.base_url(request))

    def take_assertion(self, request, form):
        if "assertion" not in form:
            return invalid_request("missing required parameter: assertion")
        assertion = jwt_bearer.read(form["assertion"])
        if assertion is None:
            return invalid_grant("invalid assertion")
        if not self.registry.is_client(assertion.claim("iss")):
            return ERRORS["token_invalid_client_id"]
        org = self.registry.org_of_client(assertion.claim("iss"), assertion.claim("sub"))
        base_url = self.server.base_url(request)
        refusal = jwt_bearer.refusal(assertion, org, base_url)
        if refusal is not None:
            return invalid_grant(refusal)
        return 200, self.grant(org, base_url, False)

    def grant(self, org, base_url, may_refresh=True):
        issued_at = str(int(time.time() * 1000))
        identity = f"{base_url}/id/{org.org_id}/{org.user_id}"
        digest = hmac.new(org.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256).digest()
        body = {
            "access_token": self.registry.issue_access_token(org).text,
            "signature": base64.b64encode(digest).decode(),
            "scope": "refresh_token api" if may_refresh else "api",
            "instance_url": base_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }
        if may_refresh and org.rotate_refresh_tokens:
            body["refresh_token"] = self.registry.rotate(org).text
        return body


def read_form(request):
    pairs = urllib.parse.parse_qsl(request.body.decode("latin-1"), keep_blank_values=True)
    return dict(pairs)


def client_credentials(request, form):
    """From the form, else from HTTP Basic."""
    if "client_id" in form:
        return form["client_id"], form.get("client_secret", "")
    scheme, _, encoded = request.header(b"authorization").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, client_secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            return client_id, client_secret
        except ValueError:
            pass
    return "", ""
