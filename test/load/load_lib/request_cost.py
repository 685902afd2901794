"""request_cost.py: what authenticate adds to a transaction as PostgREST sends it."""
import json
import random
import subprocess

from .libpq import Session, as_array
from .process import cpu_ns, kept_off_last_core, pin
from .samples import Spread, difference, interleave
from .table import Table, heading, microseconds, note, progress, span

PER_BATCH = 60

SETTINGS = ("search_path", "role", "request.jwt.claims", "request.method", "request.path", "request.headers",
            "request.cookies")
BEGIN = b"begin isolation level read committed read only"
SET_UP = "select " + ", ".join(f"set_config('{name}', ${place}, true)" for place, name in enumerate(SETTINGS, 1))
QUERY = """
with pgrst_source as (select i.* from bench.item_plain i where i.org_id = $1 and i.id = $2)
select null::bigint as total_result_set, pg_catalog.count(_postgrest_t) as page_total,
       coalesce(json_agg(_postgrest_t), '[]') as body,
       nullif(current_setting('response.headers', true), '') as response_headers,
       nullif(current_setting('response.status', true), '') as response_status
  from (select * from pgrst_source) _postgrest_t"""


class Requests:
    """
    Transactions with a point lookup on the table without row-level security,
    so that they do the same work with an identity and without.
    """

    def __init__(self, session, token, item):
        self.session = session
        claims = {"role": "saas_user", "type": "access"}
        headers = {"authorization": f"Bearer {token}", "accept": "application/json", "host": "localhost",
                   "user-agent": "bench", "accept-encoding": "gzip"}
        self.settings = as_array(["bench, public", "saas_user", json.dumps(claims), "GET", "/item",
                                  json.dumps(headers), "{}"])
        self.items = [as_array([item[0], i]) for i in item[1]]
        self.token = as_array([token])
        self.nothing = as_array([])
        session.prepare("set_up", SET_UP)
        session.prepare("query", QUERY)
        session.prepare("authenticate", "select saas.authenticate($1)")
        session.prepare("pre_request", "select saas.pre_request()")

    def transactions(self, statement, parameters):
        def batch(_number):
            session = self.session
            before = cpu_ns(session.pid)
            for _ in range(PER_BATCH):
                session.simple(BEGIN)
                session.prepared(b"set_up", self.settings)
                if statement:
                    session.prepared(statement, parameters)
                session.prepared(b"query", random.choice(self.items))
                session.simple(b"commit")
            return (cpu_ns(session.pid) - before) / PER_BATCH
        return batch

    def variants(self):
        return {
            "without": self.transactions(None, None),
            "authenticate": self.transactions(b"authenticate", self.token),
            "pre_request": self.transactions(b"pre_request", self.nothing),
        }


class Parts:
    """Parts of authenticate that can be called alone, each against an empty call."""

    def __init__(self, session, token, jwks, user, org):
        self.session = session
        # assume_identity looks the same rows up; its line in the log would cost more than that.
        session.run("set log_min_messages = fatal")
        session.prepare("nothing", "select $1::text")
        session.prepare("assume", "select saas.assume_identity($1, $2)")
        session.prepare("verify", "select saas.verify_jwt($1, $2)")
        self.calls = {
            "nothing": (b"nothing", as_array([token])),
            "assume": (b"assume", as_array([user, org])),
            "verify": (b"verify", as_array([token, jwks])),
        }

    def calls_of(self, statement, parameters):
        def batch(_number):
            session = self.session
            before = cpu_ns(session.pid)
            for _ in range(PER_BATCH):
                session.simple(b"begin")
                session.prepared(statement, parameters)
                session.simple(b"commit")
            return (cpu_ns(session.pid) - before) / PER_BATCH
        return batch

    def variants(self):
        return {name: self.calls_of(*call) for name, call in self.calls.items()}


def openssl_verification():
    """What openssl's own benchmark takes for one ES256 verification, in nanoseconds; None where it does not say."""
    output = subprocess.run(["openssl", "speed", "-mr", "-seconds", "1", "ecdsap256"], capture_output=True,
                            text=True, check=False).stdout
    lines = [line for line in output.splitlines() if line.startswith("+F4:")]
    per_second = float(lines[0].split(":")[-1]) if lines else 0
    return 1e9 / per_second if per_second > 1 else None


def run(quick, person):
    sessions, rounds = (3, 6) if quick else (6, 15)
    progress("transactions with and without authenticate")
    with Session() as session:
        token, user, org = person["access_token"], person["user"]["id"], person["organization"]["id"]
        jwks = session.value("select jsonb_build_object('keys', jsonb_agg(public_jwk)) from saas_private.jwt_key")
        tenant = session.value("select org_id from bench.tenant where n = 2")
        ids = [row[0] for row in session.rows("select id from bench.item_plain where org_id = $1 limit 200", tenant)]
    times = {}
    for _ in range(sessions):
        with kept_off_last_core() as core, Session() as session:
            pin(session.pid, core)
            variants = Requests(session, token, (tenant, ids)).variants()
            variants.update(Parts(session, token, jwks, user, org).variants())
            for name, values in interleave(variants, rounds).items():
                times.setdefault(name, []).extend(values)
    show(times, sessions * rounds)


def show(times, count):
    heading(f"A transaction as PostgREST sends it (begin, settings, point lookup, commit), {count} rounds")
    table = Table("", "us per call", "p10..p90")
    for title, spread in (
            ("transaction without authenticate", Spread(times["without"])),
            ("transaction with saas.authenticate(token)", Spread(times["authenticate"])),
            ("transaction with saas.pre_request()", Spread(times["pre_request"])),
            ("authenticate adds", difference(times["authenticate"], times["without"])),
            ("pre_request adds", difference(times["pre_request"], times["without"])),
            ("alone: look-up of the live rows (assume_identity)", difference(times["assume"], times["nothing"])),
            ("alone: verify_jwt, which reads the key set anew", difference(times["verify"], times["nothing"]))):
        table.add(title, microseconds(spread.median), span(spread, microseconds))
    alone = openssl_verification()
    if alone:
        table.add("alone: one ES256 verification, by openssl speed", microseconds(alone))
    table.show()
    note("CPU of the backend. The query is the same, without row-level security, with and without an identity.")
