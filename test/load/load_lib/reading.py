"""reading.py: queries under row-level security against the same with a filter written by hand."""
import collections
import random

from .libpq import Session, as_array
from .process import cpu_ns, kept_off_last_core, pin
from .samples import Spread, interleave, ratio, verdict_at_most, worst
from .table import Table, heading, microseconds, note, progress, span

AIM = 1.05

# condition may hold {id}; per_batch: runs between two looks at the clock;
# share: of the rounds.
Query = collections.namedtuple("Query", "title select condition tail tenants per_batch share", defaults=(1,))

# One way to run a query: on which table, with the filter by hand or not, as whom.
Side = collections.namedtuple("Side", "table has_filter role has_identity")

# Tenants: whose rows are read, turn by turn, and ids to look for.
Tenants = collections.namedtuple("Tenants", "user orgs ids")


def text_of(query, side, org, item):
    conditions = [f"org_id = {org}"] if side.has_filter else []
    conditions += [query.condition.format(id=item)] if query.condition else []
    where = f"where {' and '.join(conditions)}" if conditions else ""
    return " ".join(part for part in (query.select.format(table=side.table), where, query.tail) if part)


class Batch:
    """One query on one side in one session: the CPU time of a run, in a transaction that acts for a tenant."""

    def __init__(self, session, query, side, is_prepared):
        self.session, self.query, self.side = session, query, side
        self.has_item = "{id}" in query.condition
        self.statement = None
        if is_prepared:
            self.statement = f"{side.table}_{side.role}".encode()
            org, item = ("$1", "$2") if side.has_filter else (None, "$1")
            session.prepare(self.statement.decode(), text_of(query, side, org, item))

    def runs(self, org):
        query, side, session = self.query, self.side, self.session
        chosen = [random.choice(query.tenants.ids[org]) for _ in range(query.per_batch)]
        if self.statement is None:
            texts = [text_of(query, side, f"'{org}'", f"'{item}'").encode() for item in chosen]
            return [lambda text=text: session.simple(text) for text in texts]
        lists = [([org] if side.has_filter else []) + ([item] if self.has_item else []) for item in chosen]
        arrays = [as_array(values) for values in lists]
        return [lambda array=array: session.prepared(self.statement, array) for array in arrays]

    def begin(self, org):
        if self.side.has_identity:
            self.session.as_member(self.query.tenants.user, org)
        else:
            self.session.run("begin", f"set local role {self.side.role}")

    def answer(self):
        """What the query gives for one tenant: the same on every side."""
        org = self.query.tenants.orgs[0]
        item = self.query.tenants.ids[org][0]
        self.begin(org)
        rows = self.session.rows(text_of(self.query, self.side, f"'{org}'", f"'{item}'"))
        self.session.run("commit")
        return sorted(rows, key=str)

    def __call__(self, number):
        tenants = self.query.tenants
        org = tenants.orgs[number % len(tenants.orgs)]
        runs = self.runs(org)
        self.begin(org)
        # Once without the clock: the rows are in the processor's caches for every side then.
        for run in runs:
            run()
        before = cpu_ns(self.session.pid)
        for run in runs:
            run()
        spent = cpu_ns(self.session.pid) - before
        self.session.run("commit")
        return spent / len(runs)


def measure(query, sides, is_prepared, sessions, rounds, make_batch=Batch):
    """CPU times by side. Several sessions, because each lays its memory out differently."""
    times = {name: [] for name in sides}
    for _ in range(sessions):
        with kept_off_last_core() as core, Session() as session:
            pin(session.pid, core)
            batches = {name: make_batch(session, query, side, is_prepared) for name, side in sides.items()}
            answers = [batch.answer() for batch in batches.values()]
            if not answers[0] or any(answer != answers[0] for answer in answers):
                raise RuntimeError(f"{query.title}: not the same answer on every side")
            for name, values in interleave(batches, rounds).items():
                times[name] += values
    return times


def judge(_query, _protocol, ratios):
    """The aim as it is shown, and a verdict for each ratio."""
    return f"{AIM}", [verdict_at_most(spread, AIM, 1.0) for spread in ratios]


def compare(queries, sides, sessions, rounds, judge_query=judge, make_batch=Batch):
    """A table of queries: side "rls" against side "by hand" and, where there is one, against side "twin"."""
    table = Table("query", "protocol", "rounds", "by hand us", "RLS us", "RLS/by hand", "p10..p90",
                  *(("RLS/twin", "p10..p90") if "twin" in sides else ()), "aim", "")
    verdicts = []
    for query in queries:
        for protocol in ("prepared", "simple"):
            progress(f"{query.title}, {protocol}")
            times = measure(query, sides, protocol == "prepared", sessions, max(2, round(rounds * query.share)),
                            make_batch)
            ratios = [ratio(times["rls"], times[name]) for name in sides if name != "rls"]
            aim, judged = judge_query(query, protocol, ratios)
            table.add(query.title, protocol, len(times["rls"]), microseconds(Spread(times["by hand"]).median),
                      microseconds(Spread(times["rls"]).median),
                      *(cell for spread in ratios for cell in (f"{spread.median:.3f}", span(spread, "{:.2f}".format))),
                      aim, worst(judged) if judged else "")
            verdicts += [worst(judged)] if judged else []
    table.show()
    return verdicts


def ids_of(session, orgs, sql):
    return {org: [row[0] for row in session.rows(sql, org)] for org in orgs}


def run(quick):
    # From the middle on, so that a hundred rows precede each.
    some_ids = ("select id from (select id, row_number() over (order by id) as r, count(*) over () as c"
                " from bench.item where org_id = $1) x where r > c / 2 order by md5(id::text) limit 200")
    with Session() as session:
        user = session.value("select id from saas.app_user limit 1")
        orgs = [row[0] for row in session.rows("select org_id from bench.tenant where n > 1"
                                               " order by md5(n::text) limit 60")]
        largest = session.value("select org_id from bench.tenant where n = 1")
        tenants = Tenants(user, orgs, ids_of(session, orgs, some_ids))
        giant = Tenants(user, [largest], ids_of(session, [largest], some_ids))
        rows, count = session.rows("select (select count(*) from bench.item), (select count(*) from bench.tenant)")[0]
    sum_up = ("select status, count(*), sum(amount) from {table}", "", "group by status")
    queries = (
        Query("point lookup", "select * from {table}", "id = {id}", "", tenants, 50, 3),
        Query("range scan, 100 rows", "select * from {table}", "id < {id}", "order by id desc limit 100",
              tenants, 20, 2),
        Query("aggregate, one tenant", *sum_up, tenants, 8),
        Query("aggregate, tenant with 1/5 of all rows", *sum_up, giant, 1, 0.25),
    )
    sides = {
        "by hand": Side("bench.item", True, "bench_unrestricted", False),
        "rls": Side("bench.item", False, "saas_user", True),
        "twin": Side("bench.item_plain", True, "saas_user", False),
    }
    sessions, rounds = (3, 6) if quick else (8, 16)
    heading(f"Reading under row-level security: {int(rows):,} rows of {int(count):,} organizations")
    verdicts = compare(queries, sides, sessions, rounds)
    note("CPU of the backend per query. By hand: the same table, read by a role that policies do not bind;"
         " twin: another table with")
    note("the same rows and no row-level security, which lies elsewhere in memory.")
    return verdicts


def run_stored(quick):
    """The same on what the polls have stored. Both sides read the same tables."""
    with Session() as session:
        user = session.value("select id from saas.app_user limit 1")
        session.run("vacuum (analyze) saas.connection, saas.series, saas.layout, saas.reading")
        orgs = [row[0] for row in session.rows("select distinct org_id from saas.connection")]
        tenants = Tenants(user, orgs, ids_of(session, orgs,
                                             "select id from saas.connection where org_id = $1 limit 200"))
        rows = session.value("select count(*) from saas.sample")
    of_one = "connection_id = {id}"
    queries = (
        Query("newest values of a connection", "select * from saas.latest_sample", of_one, "", tenants, 10),
        Query("stored values of a connection", "select * from saas.sample", of_one, "", tenants, 3),
        Query("one series of a connection", "select at, value from saas.sample",
              f"{of_one} and metric = 'salesforce_limit_used' and labels = '{{{{\"limit\": \"DailyApiRequests\"}}}}'",
              "", tenants, 8),
    )
    sides = {
        "by hand": Side("by_hand", True, "bench_unrestricted", False),
        "rls": Side("rls", False, "saas_user", True),
    }
    sessions, rounds = (3, 6) if quick else (4, 16)
    heading(f"The same on the metrics tables: {int(rows):,} stored values")
    verdicts = compare(queries, sides, sessions, rounds)
    note("By hand: the same tables read by a role that the policies do not bind.")
    return verdicts
