"""identity.py: what authenticate costs by kind of token, and what a sign-in is made of."""
import contextlib
import itertools
import json
import os

from .libpq import DatabaseError, Session, as_array
from .process import cpu_ns, kept_off_last_core, pin
from .raw_verifier import RawVerifier, build, key_in_hex
from .samples import Spread, difference, interleave, ratio, verdict_at_most
from .table import Table, heading, microseconds, note, progress, span

PER_BATCH = 60
AIM_VERIFYING = 1.5
AIM_LOOKUPS_NS = 60000
AIM_PLPGSQL = 0.1
AIM_REST_OF_SIGN_IN = 0.1
NEAR = 1.5
BCRYPT_COST = 11
SIGN_INS = 2
ALGORITHMS = ("ES256", "HS256")
PLPGSQL = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plpgsql_authenticate.sql")

# The ways in which OpenSSL alone is measured.
RAW = {"raw": "one after another", "raw apart": "between transactions"}

STATEMENTS = {
    # As many messages, and a function in C that takes the token and does next to nothing.
    "empty": "select saas.has_permission($1)",
    "authenticate": "select saas.authenticate($1)",
    "look-ups": "select saas.assume_identity($1, $2)",
    "plpgsql": "select bench.authenticate($1)",
    "plpgsql verifying": "select bench.verify_jwt($1)",
}


class Credentials:
    """Tokens and keys of one person; an HS256 key is made for it and retired at the end."""

    def __init__(self, session, person, count):
        self.user, self.org = person["user"]["id"], person["organization"]["id"]
        self.keys, self.tokens = {}, {}
        signed_in = session.value("select id from saas_private.session where user_id = $1 and ended_at is null"
                                  " order by created_at desc limit 1", self.user)
        for algorithm in ALGORITHMS:
            session.run(f"set saas.jwt_algorithm = '{algorithm}'")
            kid = session.value("select saas.rotate_token_keys('0', '25 hours')")
            self.keys[algorithm] = json.loads(session.value(
                "select coalesce(public_jwk::text, saas_private.unseal_for_platform(private_key, 'pg_saas:jwt-key',"
                " kid)) from saas_private.jwt_key where kid = $1", kid))
            self.tokens[algorithm] = [row[0] for row in session.rows(
                "select saas_private.issue_access_token($1, $2, $3) ->> 'access_token'"
                " from generate_series(1, $4::integer)", self.user, signed_in, self.org, count)]
        session.run("reset saas.jwt_algorithm")
        session.as_member(self.user, self.org)
        self.api_key = json.loads(session.value("select saas_api.create_api_key('bench', '{view_dashboard}')"))["key"]
        session.run("commit")

    def secret(self):
        return key_in_hex(self.keys["HS256"])

    def retire(self, session):
        session.rows("select saas.retire_token_key($1)", self.keys["HS256"]["kid"])


class Transactions:
    """Transactions of one statement in one session."""

    def __init__(self, session, credentials):
        self.session, self.credentials = session, credentials
        self.some_token = as_array([credentials.tokens["ES256"][0]])
        # The line of assume_identity in the log would cost more than its look-ups.
        session.run("set log_min_messages = fatal", f"set bench.jwt_secret = '{credentials.secret()}'")
        for name, sql in STATEMENTS.items():
            session.prepare(name, sql)

    def once(self, name, values):
        self.session.simple(b"begin")
        self.session.prepared(name, values)
        self.session.simple(b"commit")

    def empty(self, _number):
        self.once(b"empty", self.some_token)

    def batch(self, statement, parameters, warm):
        """Runs the statement with parameter after parameter; warm runs one before the clock does."""
        name = statement.encode()

        def run(_number):
            values = list(itertools.islice(parameters, PER_BATCH))
            if warm:
                self.once(name, values[0])
            before = cpu_ns(self.session.pid)
            for value in values:
                self.once(name, value)
            return (cpu_ns(self.session.pid) - before) / PER_BATCH
        return run

    def variants(self):
        def again(text):
            return itertools.repeat(as_array([text]))

        def fresh(algorithm):
            return iter([as_array([token]) for token in self.credentials.tokens[algorithm]])

        es256, hs256 = (self.credentials.tokens[algorithm][0] for algorithm in ALGORITHMS)
        person = itertools.repeat(as_array([self.credentials.user, self.credentials.org]))
        return {
            "empty": self.batch("empty", again(es256), True),
            "look-ups": self.batch("look-ups", person, True),
            "ES256 fresh": self.batch("authenticate", fresh("ES256"), False),
            "ES256 again": self.batch("authenticate", again(es256), True),
            "HS256 fresh": self.batch("authenticate", fresh("HS256"), False),
            "HS256 again": self.batch("authenticate", again(hs256), True),
            "API key": self.batch("authenticate", again(self.credentials.api_key), True),
            "plpgsql": self.batch("plpgsql", fresh("HS256"), False),
            "plpgsql verifying": self.batch("plpgsql verifying", fresh("HS256"), False),
        }


def is_refused(session, statement, token):
    session.run("begin")
    try:
        session.rows(statement, token)
        return False
    except DatabaseError:
        return True
    finally:
        session.run("rollback")


def check_both_verify(session, credentials):
    """Both sides accept the token, and neither one that was changed."""
    session.run(f"set bench.jwt_secret = '{credentials.secret()}'")
    good = credentials.tokens["HS256"][0]
    header, payload, signature = good.split(".")
    bad = (f"{header}.{payload}.{signature[:-2]}{'A' if signature[-2] != 'A' else 'B'}{signature[-1]}",
           f"{header}.{payload[:-4]}AAAA.{signature}", f"{header}.{payload}")
    for statement in (STATEMENTS["authenticate"], STATEMENTS["plpgsql"]):
        if is_refused(session, statement, good) or not all(is_refused(session, statement, token) for token in bad):
            raise RuntimeError(f"{statement} accepts what it must not, or refuses a good token")


def raw_variants(raw, empty):
    """
    OpenSSL alone, one token after the other, and one at a time with an empty
    transaction of the backend before it, so that the processor's caches are as
    cold as authenticate finds them.
    """
    def apart(number):
        total = 0
        for _ in range(PER_BATCH):
            empty(number)
            total += raw.verify(1)
        return total / PER_BATCH
    return {"raw": lambda _: raw.verify(PER_BATCH), "raw apart": apart}


def measure(sessions, rounds, credentials, program):
    times = {}
    for _ in range(sessions):
        with kept_off_last_core() as core, Session() as session, contextlib.ExitStack() as stack:
            pin(session.pid, core)
            transactions = Transactions(session, credentials)
            variants = transactions.variants()
            for algorithm in ALGORITHMS:
                raw = stack.enter_context(RawVerifier(program, credentials.keys[algorithm],
                                                      credentials.tokens[algorithm], core))
                for name, function in raw_variants(raw, transactions.empty).items():
                    variants[f"{algorithm} {name}"] = function
            for name, values in interleave(variants, rounds).items():
                times.setdefault(name, []).extend(values)
    return times


def minus(values, others):
    return [value - other for value, other in zip(values, others)]


def show_costs(times, count):
    heading(f"saas.authenticate, {count} rounds of {PER_BATCH} transactions")
    table = Table("", "us", "p10..p90")
    for title, name in (("ES256, a token that the session has not seen", "ES256 fresh"),
                        ("ES256, the same token again", "ES256 again"),
                        ("HS256, a token that the session has not seen", "HS256 fresh"),
                        ("HS256, the same token again", "HS256 again"),
                        ("API key", "API key"),
                        ("look-up of the live rows (assume_identity)", "look-ups"),
                        ("PL/pgSQL + pgcrypto, HS256", "plpgsql"),
                        ("PL/pgSQL + pgcrypto, verifying only", "plpgsql verifying")):
        spread = difference(times[name], times["empty"])
        table.add(title, microseconds(spread.median), span(spread, microseconds))
    for algorithm, (how, title) in itertools.product(ALGORITHMS, RAW.items()):
        spread = Spread(times[f"{algorithm} {how}"])
        table.add(f"OpenSSL alone, {algorithm}, {title}", microseconds(spread.median), span(spread, microseconds))
    table.show()
    note("CPU of the backend, of what a transaction costs more than one that calls an empty function in C instead;")
    note("OpenSSL: a C program that verifies the same tokens, with key, context and signature made ready beforehand;")
    note("between transactions: each after an empty transaction, with the processor's caches as authenticate finds them.")


def plain(value):
    return f"{value:.2f}"


class Aims:
    def __init__(self):
        self.table = Table("", "", "p10..p90", "aim: at most", "")
        self.verdicts = []

    def add(self, title, spread, aim, show=plain):
        # However wide the spread is, far above the aim is not at the aim.
        is_near = spread.median <= NEAR * aim
        self.verdicts.append(verdict_at_most(spread, aim, equal_to=aim if is_near else None))
        self.table.add(title, show(spread.median), span(spread, show), show(aim), self.verdicts[-1])


def show_aims(times):
    aims = Aims()
    for name in ("ES256 again", "HS256 again", "API key"):
        aims.add(f"look-ups, us: all that {name} takes", difference(times[name], times["empty"]),
                 AIM_LOOKUPS_NS, microseconds)
    for algorithm, (how, title) in itertools.product(ALGORITHMS, RAW.items()):
        aims.add(f"{algorithm} fresh less look-ups / OpenSSL alone, {title}",
                 ratio(minus(times[f"{algorithm} fresh"], times["look-ups"]), times[f"{algorithm} {how}"]),
                 AIM_VERIFYING)
    by_hand = minus(times["plpgsql"], times["empty"])
    for kind in ("fresh", "again"):
        aims.add(f"HS256 {kind} / PL/pgSQL", ratio(minus(times[f"HS256 {kind}"], times["empty"]), by_hand),
                 AIM_PLPGSQL)
    aims.add("HS256 verifying only (fresh less look-ups) / PL/pgSQL verifying only",
             ratio(minus(times["HS256 fresh"], times["look-ups"]), minus(times["plpgsql verifying"], times["empty"])),
             AIM_PLPGSQL)
    aims.table.show()
    return aims.verdicts


class SignIn:
    """A sign-in and the comparison of its password alone, through pgcrypto."""

    def __init__(self, session, email, password):
        self.session, self.email, self.password = session, email, password
        session.run(f"set saas.bcrypt_cost = {BCRYPT_COST}", "set saas.sign_in_floor = 0")
        # A hash of another cost is renewed by the first sign-in.
        self.sign_in(0)
        self.hash = session.value("select p.hash from saas_private.password p join saas.app_user u"
                                  " on u.id = p.user_id where u.email = $1", email)
        if f"${BCRYPT_COST}$" not in self.hash:
            raise RuntimeError(f"the hash is not of cost {BCRYPT_COST}")

    def timed(self, sql, *values):
        before = cpu_ns(self.session.pid)
        for _ in range(SIGN_INS):
            self.session.rows(sql, *values)
        return (cpu_ns(self.session.pid) - before) / SIGN_INS

    def sign_in(self, _number):
        return self.timed("select saas_api.sign_in($1, $2)", self.email, self.password)

    def bcrypt(self, _number):
        return self.timed("select crypt($1, $2)", self.password, self.hash)


def sign_in(rounds, email, password):
    progress("sign-in")
    with kept_off_last_core() as core, Session() as session:
        pin(session.pid, core)
        one = SignIn(session, email, password)
        times = interleave({"sign-in": one.sign_in, "bcrypt": one.bcrypt}, rounds)
    heading(f"Sign-in with bcrypt of cost {BCRYPT_COST}, {rounds} rounds of {SIGN_INS}")
    table = Table("", "ms", "p10..p90")
    for title, spread in (("saas_api.sign_in()", Spread(times["sign-in"])), ("crypt() alone", Spread(times["bcrypt"])),
                          ("the rest", difference(times["sign-in"], times["bcrypt"]))):
        table.add(title, milliseconds(spread.median), span(spread, milliseconds))
    table.show()
    aims = Aims()
    rest = ratio(minus(times["sign-in"], times["bcrypt"]), times["sign-in"])
    aims.add("the rest / sign-in", rest, AIM_REST_OF_SIGN_IN)
    aims.table.show()
    return aims.verdicts


def milliseconds(ns):
    return f"{ns / 1e6:.1f}"


def run(quick, person, account, work):
    sessions, rounds = (2, 6) if quick else (6, 15)
    progress("authenticate by kind of token")
    program = build(work)
    with Session() as operator:
        with open(PLPGSQL, encoding="utf-8") as file:
            operator.run(file.read())
        credentials = Credentials(operator, person, (rounds + 1) * PER_BATCH)
        check_both_verify(operator, credentials)
        times = measure(sessions, rounds, credentials, program)
        show_costs(times, sessions * rounds)
        verdicts = show_aims(times)
        credentials.retire(operator)
    return verdicts + sign_in(4 if quick else 12, *account)
