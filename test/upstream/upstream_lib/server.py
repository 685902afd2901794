"""server.py: hands each request to the endpoint, or to the fault, that answers it."""
import asyncio
import collections
import re
import sys

from .aws import AWS
from .client_credentials import CLIENTS
from .control import Control
from .fault_params import FaultParams
from .fault_rules import FaultRules
from .faults_content import CONTENT_FAULTS
from .faults_wire import MADE_OF_THE_GENUINE_ANSWER, WIRE_FAULTS
from .generic import JsonDocument, echo_json
from .message import BadRequest, encode, json_response
from .metrics import Metrics
from .oauth import TokenEndpoint
from .registry import Registry
from .rest_api import FIRST_VERSION, LAST_VERSION, NOT_FOUND, RestApi

HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?$|\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?$")
CONTROL_PREFIX = b"/_control/"
FAULT_PREFIX = b"/fault/"


class ServerStats:
    def __init__(self):
        self.requests = self.token_requests = self.limits_requests = self.unauthorized = self.faults = 0
        self.connections = self.connections_peak = self.connections_total = 0
        self.in_flight = self.in_flight_peak = 0
        self.statuses = collections.Counter()


class Server:
    def __init__(self, scheme, latency_s, is_quiet):
        self.scheme = scheme
        self.latency_s = latency_s
        self.is_quiet = is_quiet
        self.port = 0
        self.registry = Registry()
        self.stats = ServerStats()
        self.fault_rules = FaultRules(self.registry)
        self.control = Control(self)
        self.rest_api = RestApi(self)
        self.routes = self.make_routes()

    def make_routes(self):
        routes = {
            b"/services/oauth2/token": TokenEndpoint(self).answer,
            b"/services/data": self.rest_api.versions,
            b"/services/data/": self.rest_api.versions,
            b"/metrics": Metrics().answer,
            b"/json": JsonDocument().answer,
            b"/echo-json": echo_json,
            b"/oauth/token": CLIENTS.answer,
            b"/": AWS.answer,
        }
        for version in range(FIRST_VERSION, LAST_VERSION + 1):
            for end in (b"", b"/"):
                routes[b"/services/data/v%d.0/limits%b" % (version, end)] = self.rest_api.limits
        return routes

    def base_url(self, request):
        """The address that the client used, so that certificates and proxies keep fitting."""
        host = request.header(b"host")
        return f"{self.scheme}://{host if HOST.match(host) else f'127.0.0.1:{self.port}'}"

    def connection_opened(self):
        stats = self.stats
        stats.connections_total += 1
        stats.connections += 1
        stats.connections_peak = max(stats.connections_peak, stats.connections)

    def connection_closed(self):
        self.stats.connections -= 1

    def request_began(self):
        stats = self.stats
        stats.in_flight += 1
        if stats.in_flight > stats.in_flight_peak:
            stats.in_flight_peak = stats.in_flight

    def request_ended(self):
        self.stats.in_flight -= 1

    def handle(self, connection, request):
        if request.path.startswith(CONTROL_PREFIX):
            self.reply(connection, request, self.guarded(self.control.answer, request), 0.0)
            return
        self.stats.requests += 1
        if request.path.startswith(FAULT_PREFIX):
            name = request.path[len(FAULT_PREFIX):].decode("latin-1")
            genuine = self.routes[b"/json"]
            self.misbehave(connection, request, name, FaultParams(request.params), genuine)
            return
        endpoint = self.routes.get(request.path)
        if endpoint is None:
            endpoint = self.rest_api.answer if request.path.startswith(b"/services/data/") else not_found
        rule = self.fault_rules.match(request) if self.fault_rules.rules else None
        if rule is not None:
            self.misbehave(connection, request, rule.fault, FaultParams(rule.params, rule.released), endpoint)
            return
        self.give(connection, request, self.guarded(endpoint, request))

    def give(self, connection, request, response):
        self.stats.statuses[response.status] += 1
        self.reply(connection, request, response, self.latency_s)

    def reply(self, connection, request, response, delay_s):
        if not self.is_quiet:
            self.log(request, response.status)
        connection.answer(encode(response, request), request.keep_alive, delay_s)

    def guarded(self, endpoint, request):
        try:
            return endpoint(request)
        except BadRequest as error:
            return json_response(error.status, {"error": "bad_request", "message": error.message})
        except ValueError as error:
            return json_response(400, {"error": "bad_request", "message": str(error)})

    def misbehave(self, connection, request, name, params, endpoint):
        if name in CONTENT_FAULTS:
            if params.flag("process"):
                self.guarded(endpoint, request)
            self.stats.faults += 1
            fault = CONTENT_FAULTS[name]
            self.give(connection, request, self.guarded(lambda r: fault(r, params), request))
        elif name in WIRE_FAULTS:
            self.stats.faults += 1
            if not self.is_quiet:
                self.log(request, name)
            connection.run(self.wire_fault(connection, request, name, params, endpoint))
        else:
            self.give(connection, request, json_response(404, {"error": "not_found", "message": "no such fault"}))

    async def wire_fault(self, connection, request, name, params, endpoint):
        takes_effect = name in MADE_OF_THE_GENUINE_ANSWER or params.flag("process")
        genuine = self.guarded(endpoint, request) if takes_effect else json_response(200, {})
        await asyncio.sleep(self.latency_s)
        try:
            return await WIRE_FAULTS[name](connection, request, genuine, params)
        except ValueError as error:
            answer = json_response(400, {"error": "bad_request", "message": str(error)})
            await connection.send(encode(answer, request))
            return request.keep_alive

    def log(self, request, outcome):
        # The query is left out: people put secrets there.
        path = request.path.decode("latin-1")
        print(f"upstream: {request.method} {path} {outcome}", file=sys.stderr, flush=True)


def not_found(request):
    return NOT_FOUND
