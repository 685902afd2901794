"""aws.py: STS's AssumeRole and CloudWatch's GetMetricData, as far as the poller asks for them."""
import collections
import hashlib
import hmac
import json
import re
import secrets
import time
import urllib.parse

from .message import JSON, Response, clock_now, compact_json

XML = b"Content-Type: text/xml\r\n"
SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/, ]+)/(\d{8})/([a-z0-9-]+)/(sts|monitoring)/aws4_request, "
                   r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$")
ALLOWED_SKEW_S = 300
SESSION_S = 3600


class Refused(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status = status
        self.code = code


def region_of(request):
    """The region whose metrics a request asks for; None for any other request."""
    match = SCOPE.match(request.header(b"authorization"))
    return match[3] if match and match[4] == "monitoring" else None


class Aws:
    def __init__(self):
        self.keys = {}      # id: secret
        self.sessions = {}  # id: (secret, token, role)
        self.roles = {}     # ARN: external id, None when the role asks for none
        self.values = {}    # region: what every metric is there; 1 elsewhere
        self.denied = []    # regions that deny metrics
        self.forget()

    def forget(self):
        self.asked = collections.Counter()  # by "sts", or region
        self.assumed_by = collections.Counter()  # by access key id
        self.windows = []
        self.times = []
        self.role_times = []

    def configure(self, spec):
        for name in ("keys", "roles", "values", "denied"):
            setattr(self, name, spec.get(name, getattr(self, name)))

    def describe(self):
        return {"asked": dict(self.asked), "assumed_by": dict(self.assumed_by), "sessions": len(self.sessions),
                "windows": self.windows, "times": self.times, "role_times": self.role_times}

    def answer(self, request):
        """POST /; anything else is not there."""
        if request.method != "POST":
            return NOT_FOUND
        match = SCOPE.match(request.header(b"authorization"))
        service = match[4] if match else "sts"
        try:
            if not match:
                raise Refused(403, "MissingAuthenticationToken")
            self.asked["sts" if service == "sts" else match[3]] += 1
            self.check(request, match)
            return self.assume_role(request, match[1]) if service == "sts" else self.metrics(request, match[3])
        except Refused as error:
            if service == "sts":
                return xml(error.status, f"<ErrorResponse><Error><Code>{error.code}</Code></Error></ErrorResponse>")
            return Response(error.status, compact_json({"__type": error.code}), JSON)

    def check(self, request, match):
        key_id, day, region, service, names, signature = match.groups()
        secret, token, _ = self.sessions.get(key_id) or (self.keys.get(key_id), "", None)
        if secret is None or request.header(b"x-amz-security-token") != token:
            raise Refused(403, "InvalidClientTokenId" if service == "sts" else "UnrecognizedClientException")
        stamp = request.header(b"x-amz-date")
        right = signature_of(request, secret, (day, region, service), names, stamp)
        wrong = "SignatureDoesNotMatch" if service == "sts" else "InvalidSignatureException"
        if not hmac.compare_digest(right, signature):
            raise Refused(403, wrong)
        if abs(stamp_seconds(stamp) - clock_now()) > ALLOWED_SKEW_S:
            raise Refused(403, wrong)

    def assume_role(self, request, key_id):
        self.role_times.append(time.monotonic())
        form = dict(urllib.parse.parse_qsl(request.body.decode("latin-1"), keep_blank_values=True))
        role = form.get("RoleArn")
        if form.get("Action") != "AssumeRole" or role not in self.roles:
            raise Refused(403, "AccessDenied")
        if self.roles[role] is not None and form.get("ExternalId") != self.roles[role]:
            raise Refused(403, "AccessDenied")
        self.assumed_by[key_id] += 1
        session_id, secret, token = "ASIA" + secrets.token_hex(8).upper(), secrets.token_hex(20), secrets.token_hex(60)
        self.sessions[session_id] = (secret, token, role)
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock_now() + SESSION_S))
        return xml(200, f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{session_id}</AccessKeyId>"
                   f"<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>"
                   f"<Expiration>{expires}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>")

    def metrics(self, request, region):
        """Each metric has one value, in the last period of the window."""
        if region in self.denied:
            raise Refused(403, "AccessDeniedException")
        body = json.loads(request.body)
        self.times.append([region, time.monotonic()])
        self.windows.append([region, body["StartTime"], body["EndTime"]])
        value = self.values.get(region, 1)
        results = [{"Id": query["Id"], "StatusCode": "Complete", "Values": [value],
                    "Timestamps": [body["EndTime"] - query["MetricStat"]["Period"]]}
                   for query in body["MetricDataQueries"]]
        return Response(200, compact_json({"MetricDataResults": results}), JSON)


def xml(status, text):
    return Response(status, text.encode(), XML)


def stamp_seconds(stamp):
    try:
        return time.mktime(time.strptime(stamp + " UTC", "%Y%m%dT%H%M%SZ %Z")) - time.timezone
    except ValueError:
        return 0


def signature_of(request, secret, scope, names, stamp):
    """Signature Version 4, of a request without a query."""
    headers = "".join(f"{name}:{' '.join(request.header(name.encode()).split())}\n" for name in names.split(";"))
    canonical = "\n".join((request.method, request.path.decode("latin-1"), "", headers, names,
                           hashlib.sha256(request.body).hexdigest()))
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join((*scope, "aws4_request")),
                      hashlib.sha256(canonical.encode()).hexdigest()))
    key = ("AWS4" + secret).encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


NOT_FOUND = Response(404, b"", JSON)
AWS = Aws()
