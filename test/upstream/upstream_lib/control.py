"""control.py: the control API under /_control: orgs, faults, counters, settings."""
import asyncio
import secrets

from .aws import AWS
from .client_credentials import CLIENTS
from .faults_content import CONTENT_FAULTS
from .faults_wire import WIRE_FAULTS
from .message import CLOCK, BadRequest, json_response
from .redaction import shown_headers

PREFIX = "/_control/"


def not_found(what):
    return json_response(404, {"error": "not_found", "message": f"no such {what}"})


class Control:
    def __init__(self, server):
        self.server = server
        self.registry = server.registry

    def answer(self, request):
        if request.method not in ("GET", "POST", "DELETE"):
            return not_found("control verb")
        parts = request.path.decode("latin-1")[len(PREFIX):].strip("/").split("/")
        if parts[0] == "orgs" and len(parts) > 1:
            org = self.registry.find(parts[1])
            if org is None:
                return not_found("org")
            verb = getattr(self, f"org_{request.method}_{'_'.join(parts[2:])}".lower(), None)
            return verb(request, org) if verb else not_found("control path")
        if parts[0] == "clients" and len(parts) > 1:
            client = CLIENTS.by_id.get(parts[1])
            if client is None:
                return not_found("client")
            verb = getattr(self, f"client_{request.method}_{'_'.join(parts[2:])}".lower(), None)
            return verb(request, client) if verb else not_found("control path")
        if parts[0] == "faults" and len(parts) == 2 and request.method == "DELETE" and parts[1].isdigit():
            return json_response(200, {"removed": self.server.fault_rules.clear(int(parts[1]))})
        verb = getattr(self, f"{request.method}_{'_'.join(parts)}".lower(), None)
        return verb(request) if verb else not_found("control path")

    def post_orgs(self, request):
        """One org from an object, or many from an array of objects."""
        spec = request.json_body()
        if isinstance(spec, list):
            return json_response(201, [self.described(self.registry.create(object_of(s)), request) for s in spec])
        return json_response(201, self.described(self.registry.create(object_of(spec)), request))

    def get_orgs(self, request):
        return json_response(200, sorted(self.registry.orgs))

    def delete_orgs(self, request):
        removed = len(self.registry.orgs)
        self.registry.clear()
        return json_response(200, {"removed": removed})

    def org_get_(self, request, org):
        return json_response(200, self.described(org, request))

    def org_post_(self, request, org):
        org.configure(object_of(request.json_body()))
        return json_response(200, self.described(org, request))

    def org_delete_(self, request, org):
        self.registry.remove(org)
        return json_response(200, {"removed": 1})

    def org_post_expire(self, request, org):
        self.registry.expire(org)
        return json_response(200, {"org_id": org.org_id})

    def org_post_revoke(self, request, org):
        self.registry.revoke(org)
        return json_response(200, {"org_id": org.org_id})

    def org_post_authorize(self, request, org):
        self.registry.authorize(org)
        return json_response(200, self.described(org, request))

    def org_post_limits(self, request, org):
        org.merge_limits(object_of(request.json_body()))
        return self.org_get_limits(request, org)

    def org_get_limits(self, request, org):
        """The document as it stands, without spending a request."""
        document = org.document.limits
        if org.remaining is not None:
            budget = {**document["DailyApiRequests"], "Remaining": org.remaining}
            document = {**document, "DailyApiRequests": budget}
        return json_response(200, document)

    def org_get_stats(self, request, org):
        stats = org.stats
        return json_response(200, {
            "org_id": org.org_id,
            "token_requests": stats.token_requests,
            "tokens_issued": stats.tokens_issued,
            "token_errors": dict(stats.token_errors),
            "refresh_token_reuses": stats.refresh_token_reuses,
            "refresh_token_state": org.refresh_token.state,
            "limits_requests": stats.limits_requests,
            "limits_served": stats.limits_served,
            "api_requests": stats.api_requests,
            "unauthorized": stats.unauthorized,
            "limit_exceeded": stats.limit_exceeded,
            "daily_api_remaining": org.remaining,
            "access_tokens_live": sum(token.is_live() for token in org.access_tokens),
            "last_at": stats.last_at,
            "last_path": stats.last_path and stats.last_path.decode("latin-1"),
            "last_headers": shown_headers(stats.last_headers),
        })

    def post_clients(self, request):
        return json_response(201, CLIENTS.add(object_of(request.json_body())).describe())

    def client_get_(self, request, client):
        return json_response(200, client.describe())

    def client_post_revoke(self, request, client):
        """Ends its tokens before their time."""
        client.tokens.clear()
        return json_response(200, client.describe())

    def client_post_secret(self, request, client):
        """A new secret, as when it is rotated; the old one is refused from now on."""
        client.client_secret = secrets.token_urlsafe(24)
        return json_response(200, client.describe())

    def post_aws(self, request):
        AWS.configure(object_of(request.json_body()))
        return json_response(200, AWS.describe())

    def get_aws(self, request):
        return json_response(200, AWS.describe())

    def delete_aws(self, request):
        """Counters back to 0; keys, roles and sessions stay."""
        AWS.forget()
        return json_response(200, {})

    def get_stats(self, request):
        stats = self.server.stats
        body = {name: value for name, value in vars(stats).items() if name != "statuses"}
        body["statuses"] = {str(code): count for code, count in sorted(stats.statuses.items())}
        body["tasks"] = len(asyncio.all_tasks())
        body["orgs"] = len(self.registry.orgs)
        body["latency_ms"] = self.server.latency_s * 1000
        return json_response(200, body)

    def delete_stats(self, request):
        """Counters back to 0; what is open stays counted."""
        stats = self.server.stats
        connections, in_flight = stats.connections, stats.in_flight
        stats.__init__()
        stats.connections = stats.connections_peak = connections
        stats.in_flight = stats.in_flight_peak = in_flight
        return json_response(200, {})

    def post_settings(self, request):
        spec = object_of(request.json_body())
        if "clock_ahead_s" in spec:
            CLOCK["ahead_s"] = int(spec["clock_ahead_s"])
        latency_ms = spec.get("latency_ms", self.server.latency_s * 1000)
        if isinstance(latency_ms, bool) or not isinstance(latency_ms, (int, float)) or latency_ms < 0:
            raise BadRequest(400, "latency_ms must be a number, 0 or more")
        self.server.latency_s = latency_ms / 1000
        return json_response(200, {"latency_ms": latency_ms})

    def post_faults(self, request):
        spec = object_of(request.json_body())
        if spec.get("fault") not in (*CONTENT_FAULTS, *WIRE_FAULTS):
            raise BadRequest(400, "fault must be one of: " + ", ".join(sorted((*CONTENT_FAULTS, *WIRE_FAULTS))))
        org = None
        if spec.get("org") is not None:
            org = self.registry.find(str(spec["org"]))
            if org is None:
                return not_found("org")
        return json_response(201, self.server.fault_rules.add(spec, org).describe())

    def get_faults(self, request):
        return json_response(200, [rule.describe() for rule in self.server.fault_rules.rules])

    def delete_faults(self, request):
        return json_response(200, {"removed": self.server.fault_rules.clear()})

    def described(self, org, request):
        base_url = self.server.base_url(request)
        return {
            "org_id": org.org_id,
            "client_id": org.client_id,
            "client_secret": org.client_secret,
            "username": org.username,
            "rotate_refresh_tokens": org.rotate_refresh_tokens,
            "access_token_ttl_s": org.access_token_ttl_s,
            "access_token": org.access_tokens[-1].text,
            "refresh_token": org.refresh_token.text,
            "instance_url": base_url,
            "login_url": base_url,
            "id": f"{base_url}/id/{org.org_id}/{org.user_id}",
        }


def object_of(value):
    if not isinstance(value, dict):
        raise BadRequest(400, "the body must be a JSON object")
    return value
