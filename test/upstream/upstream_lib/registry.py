"""registry.py: all orgs of one server, found by id, by client and by token."""
import json
import pathlib
import secrets
import time
import urllib.parse

from . import jwt_bearer
from .limits import LimitsDocument
from .org import ACCESS_TOKENS_KEPT, USED_REFRESH_TOKENS_KEPT, AccessToken, Org, RefreshToken
from .org_id import to_18

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def read_fixture(name):
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


class Registry:
    def __init__(self):
        self.default_document = LimitsDocument(read_fixture("salesforce-limits.json"))
        self.clear()

    def clear(self):
        self.orgs = {}
        self.access_tokens = {}
        self.refresh_tokens = {}

    def create(self, spec):
        """A new org with tokens; one of the same id is replaced and its tokens die."""
        org = Org(spec, self.default_document)
        if org.org_id in self.orgs:
            self.remove(self.orgs[org.org_id])
        self.orgs[org.org_id] = org
        self.authorize(org)
        return org

    def remove(self, org):
        del self.orgs[org.org_id]
        self.access_tokens = {k: t for k, t in self.access_tokens.items() if t.org is not org}
        self.refresh_tokens = {k: t for k, t in self.refresh_tokens.items() if t.org is not org}

    def find(self, org_id):
        try:
            return self.orgs.get(to_18(org_id))
        except ValueError:
            return None

    def is_client(self, client_id):
        return any(org.client_id == client_id for org in self.orgs.values())

    def org_of_client(self, client_id, username):
        """The user's own org among those of the client, else any of them, None without one."""
        orgs = [org for org in self.orgs.values() if org.client_id == client_id]
        return next((org for org in orgs if org.username == username), orgs[0] if orgs else None)

    def authorize(self, org):
        """A fresh grant, as if a user had just approved the connected app."""
        self.revoke(org)
        self.issue_refresh_token(org)
        return self.issue_access_token(org)

    def issue_access_token(self, org):
        text = f"{org.org_id[:15]}!AQ{random_text(70)}"
        token = AccessToken(org, text, time.monotonic() + org.access_token_ttl_s)
        self.access_tokens[text] = token
        org.access_tokens.append(token)
        if len(org.access_tokens) > ACCESS_TOKENS_KEPT:
            del self.access_tokens[org.access_tokens.popleft().text]
        return token

    def issue_refresh_token(self, org):
        token = RefreshToken(org, "5Aep861" + random_text(80))
        self.refresh_tokens[token.text] = token
        if org.refresh_token is not None:
            org.used_refresh_tokens.append(org.refresh_token)
        if len(org.used_refresh_tokens) > USED_REFRESH_TOKENS_KEPT:
            del self.refresh_tokens[org.used_refresh_tokens.popleft().text]
        org.refresh_token = token
        return token

    def rotate(self, org):
        org.refresh_token.state = RefreshToken.USED
        return self.issue_refresh_token(org)

    def expire(self, org):
        for token in org.access_tokens:
            token.is_revoked = True

    def revoke(self, org):
        """Ends the whole family: every access token and every refresh token ever rotated."""
        self.expire(org)
        for token in org.used_refresh_tokens:
            token.state = RefreshToken.REVOKED
        if org.refresh_token is not None:
            org.refresh_token.state = RefreshToken.REVOKED

    def org_of(self, request):
        """The org that a request speaks for, whether or not its tokens are still good."""
        _, _, text = request.header(b"authorization").partition(" ")
        token = self.access_tokens.get(text.strip())
        if token is None and request.method == "POST":
            form = urllib.parse.parse_qs(request.body.decode("latin-1"))
            token = self.refresh_tokens.get(form.get("refresh_token", [""])[0])
            assertion = jwt_bearer.read(form["assertion"][0]) if "assertion" in form else None
            if assertion is not None:
                return self.org_of_client(assertion.claim("iss"), assertion.claim("sub"))
        return token.org if token else None


def random_text(n_bytes):
    return secrets.token_urlsafe(n_bytes).replace("-", ".")
