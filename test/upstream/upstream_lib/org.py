"""org.py: one Salesforce org as its connected app sees it: credentials, tokens, API budget."""
import collections
import time

from .jwt_bearer import PublicKey
from .org_id import new_id, to_18

ACCESS_TOKENS_KEPT = 5
USED_REFRESH_TOKENS_KEPT = 1000

SETTINGS = ("client_id", "client_secret", "username", "public_key", "rotate_refresh_tokens",
            "access_token_ttl_s", "enforce_api_limit")


class AccessToken:
    __slots__ = ("org", "text", "expires_at", "is_revoked")

    def __init__(self, org, text, expires_at):
        self.org = org
        self.text = text
        self.expires_at = expires_at
        self.is_revoked = False

    def is_live(self):
        return not self.is_revoked and time.monotonic() < self.expires_at


class RefreshToken:
    """CURRENT may be exchanged; USED was rotated away, so showing it again revokes the family."""

    __slots__ = ("org", "text", "state")
    CURRENT, USED, REVOKED = "current", "used", "revoked"

    def __init__(self, org, text):
        self.org = org
        self.text = text
        self.state = self.CURRENT


class OrgStats:
    __slots__ = ("token_requests", "tokens_issued", "token_errors", "refresh_token_reuses",
                 "limits_requests", "limits_served", "api_requests", "unauthorized",
                 "limit_exceeded", "last_path", "last_at", "last_headers")

    def __init__(self):
        self.token_requests = self.tokens_issued = self.refresh_token_reuses = 0
        self.limits_requests = self.limits_served = self.api_requests = 0
        self.unauthorized = self.limit_exceeded = 0
        self.token_errors = collections.Counter()
        self.last_path = self.last_at = self.last_headers = None

    def saw(self, request):
        self.last_path = request.path
        self.last_at = time.time()
        self.last_headers = request.headers


class Org:
    __slots__ = ("org_id", "user_id", "key", "document", "remaining", "access_tokens",
                 "refresh_token", "used_refresh_tokens", "stats") + SETTINGS

    def __init__(self, spec, document):
        self.org_id = to_18(str(spec["org_id"])) if spec.get("org_id") else new_id("00D")
        self.user_id = new_id("005")
        self.client_id = "3MVG9" + self.org_id
        self.client_secret = "secret-" + self.user_id
        self.username = f"integration@{self.org_id.lower()}.example.com"
        self.public_key = ""
        self.key = None
        self.rotate_refresh_tokens = False
        self.access_token_ttl_s = 7200.0
        self.enforce_api_limit = True
        self.access_tokens = collections.deque()
        self.used_refresh_tokens = collections.deque()
        self.refresh_token = None
        self.stats = OrgStats()
        self.set_document(document)
        self.configure(spec)

    def configure(self, spec):
        for name in SETTINGS:
            value = spec.get(name)
            if value is not None:
                wanted = type(getattr(self, name))
                if wanted is float and type(value) is int:
                    value = float(value)
                if type(value) is not wanted:
                    raise ValueError(f"{name} must be a {wanted.__name__}")
                setattr(self, name, value)
        if spec.get("public_key") is not None:
            self.key = PublicKey(self.public_key) if self.public_key else None
        if isinstance(spec.get("limits"), dict):
            self.merge_limits(spec["limits"])

    def set_document(self, document):
        self.document = document
        self.remaining = document.budget[1] if document.budget else None

    def merge_limits(self, changes):
        """Limits laid over the present ones, the budget as spent so far included."""
        if self.remaining is not None:
            changes = {**changes}
            budget = changes.get("DailyApiRequests", {})
            if isinstance(budget, dict):
                changes["DailyApiRequests"] = {"Remaining": self.remaining, **budget}
        self.set_document(self.document.merged(changes))

    def spend_request(self):
        """Takes one request off the budget; false when there is none left."""
        self.stats.api_requests += 1
        if self.remaining is None:
            return True
        if self.remaining <= 0 and self.enforce_api_limit:
            self.stats.limit_exceeded += 1
            return False
        self.remaining -= 1
        return True

    def usage(self):
        """(used, max) of the API budget, or None when the document has none."""
        if self.remaining is None:
            return None
        most = self.document.budget[0]
        return most - self.remaining, most
