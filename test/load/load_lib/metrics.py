"""metrics.py: the metrics store: storing, its size, rolling up, questions of tenants, charts."""
import json
import math
import os
import random
import time
from typing import Callable, NamedTuple

from . import metrics_store
from .libpq import DatabaseError, Session, as_array
from .metrics_store import CONNECTIONS, LIVE_CONNECTIONS, METRICS, ORGANIZATIONS, SAMPLES_PER_DAY, Store
from .process import cpu_ns, kept_off_last_core, pin
from .samples import Spread, interleave, quantile, ratio
from .table import Table, heading, note, progress, span

STAGES = (1, 7, 30)
AIM_INGEST = 0.6
AIM_WAL, AIM_WAL_PLAIN = 45, 25
AIM_BYTES = 25
AIM_HOUR = 0.05
AT_ONCE = 100
ROUND_MINUTES = 2
# All connections fill their pages of the index at once, which takes longer than one half hour.
HALF_HOURS = 3
POINTS, LINES = 1000, 5
DAYS_AT_ONCE = 3


def at_most(value, aim):
    return "held" if value <= aim else "not held"


def wanted_days(quick):
    return int(os.environ.get("METRICS_DAYS") or (1 if quick else 30))


# Storing

INGEST = f"""
create table metrics.batch (number integer primary key, orgs uuid[], connections uuid[], times timestamptz[],
                            layouts uuid[], firsts integer[], lasts integer[], numbers double precision[]);
create table metrics.staged (number integer, org_id uuid, connection_id uuid, at timestamptz, layout_id uuid,
                             "values" double precision[]);
insert into metrics.staged
select ((r.n - 1) / {AT_ONCE})::integer, r.org_id, r.connection_id, r.at, r.layout_id, r.numbers
  from (select row_number() over (order by g.at, p.number) as n, p.*, g.at, v.numbers
          from generate_series(to_timestamp({{since}}), to_timestamp({{since}} + 60 * {{minutes}} - 1),
                               interval '1 minute') as g (at)
         cross join metrics.place p
          join metrics.pool v on v.n = (p.number * 7 + extract(epoch from g.at)::bigint / 60) % 1000
         where not p.is_live) as r;
create index on metrics.staged (number);
-- Compressed arrays would be decompressed for every reading.
alter table metrics.batch alter orgs set storage external, alter connections set storage external,
    alter times set storage external, alter layouts set storage external, alter numbers set storage external;
insert into metrics.batch
select s.number, array_agg(s.org_id order by s.at, s.connection_id),
       array_agg(s.connection_id order by s.at, s.connection_id), array_agg(s.at order by s.at, s.connection_id),
       array_agg(s.layout_id order by s.at, s.connection_id),
       array_agg(s.n * {METRICS} - {METRICS - 1} order by s.n), array_agg(s.n * {METRICS} order by s.n),
       (select array_agg(u.v order by t.at, t.connection_id, u.m)
          from metrics.staged t cross join unnest(t."values") with ordinality as u (v, m) where t.number = s.number)
  from (select t.*, (row_number() over (partition by t.number order by t.at, t.connection_id))::integer as n
          from metrics.staged t) s
 group by s.number;
-- As the poller calls it: through SPI, with arrays that are in memory.
create procedure metrics.ingest(first integer, last integer) language plpgsql as $$
declare
    b metrics.batch;
begin
    for n in first..last loop
        select * into b from metrics.batch where number = n;
        {{new}};
        commit;
    end loop;
end $$;
create procedure metrics.put(first integer, last integer) language plpgsql as $$
declare
    b metrics.batch;
    stored record;
begin
    for n in first..last loop
        select * into b from metrics.batch where number = n;
        for stored in {{put}} loop
        end loop;
        commit;
    end loop;
end $$;
create table metrics.copied (like saas.reading including defaults, primary key (org_id, connection_id, at))
    partition by range (at);
create table metrics.copied_all partition of metrics.copied default;
grant usage on schema metrics to saas_poller;
grant select on metrics.batch to saas_poller;
analyze metrics.batch, metrics.staged
"""
FIELDS = ("orgs", "connections", "times", "layouts", "firsts", "lasts", "numbers")


def as_poller(session):
    """As the poller plans its statements."""
    session.run("set plan_cache_mode = force_generic_plan", "set enable_seqscan = off", "set enable_hashjoin = off",
                "set enable_mergejoin = off", "set role saas_poller")


class Ingest:
    """Minutes after what is loaded, stored by the poller's statements, and the same rows by COPY into a table like it."""

    def __init__(self, store, minutes):
        new, put = metrics_store.ingest_sql()
        for place, field in enumerate(FIELDS, 1):
            new, put = (statement.replace(f"${place}", f"b.{field}") for statement in (new, put))
        store.session.run(INGEST.format(since=store.ends, minutes=minutes, new=new, put=put))
        self.store = store
        self.per_minute = ORGANIZATIONS * CONNECTIONS // AT_ONCE
        self.file = store.session.value("select current_setting('data_directory')") + "/bench_rows"
        self.next = {"ingest": 0, "copy": 0}

    def minutes(self, side, count):
        first = self.next[side]
        self.next[side] = first + count * self.per_minute
        return first, self.next[side] - 1

    def wal(self, session):
        """Bytes of WAL per sample of half an hour, each time."""
        grown = []
        for _ in range(HALF_HOURS):
            self.store.session.run("checkpoint")
            before = self.store.session.value("select pg_current_wal_insert_lsn()")
            first, last = self.minutes("ingest", 30)
            session.run(f"call metrics.ingest({first}, {last})")
            grown.append(float(self.store.session.value("select pg_current_wal_insert_lsn() - $1::pg_lsn", before)))
        return [wal / (30 * ORGANIZATIONS * CONNECTIONS * METRICS) for wal in grown]

    def stored(self, session, procedure):
        def batch(_number):
            first, last = self.minutes("ingest", ROUND_MINUTES)
            before = cpu_ns(session.pid)
            session.run(f"call metrics.{procedure}({first}, {last})")
            return cpu_ns(session.pid) - before
        return batch

    def copied(self, session):
        def batch(_number):
            first, last = self.minutes("copy", ROUND_MINUTES)
            session.run(f'copy (select org_id, connection_id, at, layout_id, "values" from metrics.staged'
                        f" where number between {first} and {last}) to '{self.file}'")
            before = cpu_ns(session.pid)
            session.run(f"copy metrics.copied from '{self.file}'")
            return cpu_ns(session.pid) - before
        return batch


def storing(store, quick):
    rounds = 15 if quick else 45
    progress("metrics: storing")
    ingest = Ingest(store, 60 * HALF_HOURS + 2 * (rounds + 1) * ROUND_MINUTES)
    with Session() as poller, Session() as other:
        as_poller(poller)
        store.session.run("alter system set full_page_writes = on", "select pg_reload_conf()")
        whole = ingest.wal(poller)
        store.session.run("alter system set full_page_writes = off", "select pg_reload_conf()")
        plain = ingest.wal(poller)
        # Both from the same minute on.
        ingest.next["copy"] = ingest.next["ingest"]
        with kept_off_last_core() as core:
            pin(poller.pid, core)
            pin(other.pid, core)
            times = interleave({"new": ingest.stored(poller, "ingest"), "put": ingest.stored(poller, "put"),
                                "copy": ingest.copied(other)}, rounds)
    return times, whole, plain


def show_storing(times, whole, plain):
    heading(f"Storing: the poller's statements, {AT_ONCE} readings of {METRICS} samples a transaction, against COPY of the"
            " same rows")
    rows = ROUND_MINUTES * ORGANIZATIONS * CONNECTIONS
    table = Table("", "rounds", "us a reading", "p10..p90", "samples/s of a core", "rate/COPY", "p10..p90", "aim", "")
    verdicts = []
    for title, side in (("of a poll's time", "new"), ("of times of their own, with a look for conflicts", "put"),
                        ("COPY", "copy")):
        values = [value / rows / 1000 for value in times[side]]
        spread, cells = Spread(values), ()
        if side != "copy":
            rate = ratio(times["copy"], times[side])
            verdicts.append("held" if rate.median >= AIM_INGEST else
                            "within spread" if rate.median + rate.half_width >= AIM_INGEST else "not held")
            cells = (f"{rate.median:.2f}", span(rate, "{:.2f}".format), f"at least {AIM_INGEST}", verdicts[-1])
        table.add(title, len(values), f"{spread.median:.1f}", span(spread, "{:.1f}".format),
                  f"{METRICS * 1e6 / spread.median:,.0f}", *cells)
    table.show()
    table = Table("bytes of WAL a sample", "mean", "least..most", "aim: at most", "")
    for title, values, aim in ((f"{HALF_HOURS} half hours, each after a checkpoint, full_page_writes on", whole, AIM_WAL),
                               ("the same with full_page_writes off", plain, AIM_WAL_PLAIN)):
        mean = sum(values) / len(values)
        verdicts.append(at_most(mean, aim))
        table.add(title, f"{mean:.1f}", f"{min(values):.1f}..{max(values):.1f}", aim, verdicts[-1])
    table.show()
    note("CPU of the server's process. The status of each poll, some 10 bytes of WAL a sample, is not in it.")
    return verdicts


# Size and rolling up

def show_sizes(store):
    heading("Size of what is stored")
    table = Table("", "rows", "table MB", "indexes MB", "bytes a row", "bytes a sample", "aim: at most", "")
    verdicts = []
    for name, rows, heap, indexes in store.sizes():
        own = ("", "", "")
        if name in ("saas.reading", "metrics.sample"):
            per_sample = (heap + indexes) / max(rows, 1) / (METRICS if name == "saas.reading" else 1)
            own = (f"{per_sample:.1f}", "", "")
            if name == "saas.reading":
                verdicts.append(at_most(per_sample, AIM_BYTES))
                own = (f"{per_sample:.1f}", AIM_BYTES, verdicts[-1])
        table.add(name, f"{rows:,}", f"{heap / 1e6:,.0f}", f"{indexes / 1e6:,.0f}",
                  f"{(heap + indexes) / max(rows, 1):,.0f}", *own)
    table.show()
    note("metrics.sample: the twin, one row per sample, primary key (series_id, at) include (value), series_id a bigint.")
    return verdicts


def roll_up_hour(store):
    """As the worker does it while the hour passes, and the hour at once."""
    progress("metrics: rolling up an hour")
    end = store.ends
    before = cpu_ns(store.session.pid)
    took = [store.roll_up(end + 300 * (number + 1), True)[0] for number in range(12)]
    return sum(took), max(took), (cpu_ns(store.session.pid) - before) / 1e9


def show_rolling(hour, loaded):
    heading(f"Rolling up an hour of {ORGANIZATIONS * CONNECTIONS:,} connections x {METRICS} metrics x 60 s (aim: under"
            f" {AIM_HOUR:.0%} of that hour)")
    total, longest, cpu = hour
    verdict = "held" if total < AIM_HOUR * 3600 else "not held"
    table = Table("", "s", "CPU s", "of an hour", "")
    table.add("12 times 5 minutes, in the worker's steps", f"{total:.1f}", f"{cpu:.1f}", f"{total / 3600:.2%}", verdict)
    table.add("the longest of the 12", f"{longest:.2f}")
    for days, seconds in loaded:
        table.add(f"at once, of {days} x 24 hours: each", f"{seconds / days / 24:.1f}", "", f"{seconds / days / 86400:.2%}")
    table.show()
    return [verdict]


# Questions

class Question(NamedTuple):
    """The same of both stores; window(store) gives since and until in seconds, None where there is none."""
    title: str
    aim_ms: float
    own: str
    twin: str
    window: Callable
    of_live: bool = False


TWIN_BUCKETS = """
select date_bin('{step}', x.at, timestamptz '2000-01-03 00:00:00+00'), avg(x.value)
  from metrics.series s join metrics.sample x on x.series_id = s.id and x.at >= to_timestamp($3::bigint)
                                             and x.at < to_timestamp($4::bigint)
 where s.org_id = $1::uuid and s.metric = $2 group by 1 order by 1"""
OWN_BUCKETS = """
select bucket_at, value
  from saas_api.query_metric($1, to_timestamp($2::bigint), to_timestamp($3::bigint), '{step}', 'avg')"""
OWN_TOTALS = "select saas_api.metric_totals($1, to_timestamp($2::bigint), to_timestamp($3::bigint), 'sum')"
TWIN_TOTALS = """
with part as (
    select s.connection_id, sum(x.value) filter (where x.at >= to_timestamp($3::bigint)) as value,
           sum(x.value) filter (where x.at < to_timestamp($3::bigint)) as previous
      from metrics.series s join metrics.sample x on x.series_id = s.id and x.at >= to_timestamp(2 * $3::bigint - $4::bigint)
                                                 and x.at < to_timestamp($4::bigint)
     where s.org_id = $1::uuid and s.metric = $2 group by 1)
select jsonb_build_object('total', sum(p.value), 'previous', sum(p.previous), 'connections',
           jsonb_agg(jsonb_build_object('connection_id', p.connection_id, 'value', p.value,
                                        'share_percent', round((100 * p.value / p.whole)::numeric, 2))))
  from (select p.*, sum(p.value) over () as whole from part p) p"""
TWIN_LIVE = """
select s.connection_id, s.metric, s.labels, l.at, l.value
  from metrics.series s
 cross join lateral (select x.at, x.value from metrics.sample x where x.series_id = s.id order by x.at desc limit 1) l
 where s.org_id = $1::uuid"""


def some_day(store):
    until = store.ends - 60 * random.randint(0, (store.ends - store.begins) // 60 - 1440)
    return until - 86400, until


def everything(store):
    return store.begins + 60 * random.randint(0, 59), store.ends - 60 * random.randint(0, 59)


def latter_half(store):
    return (store.begins + store.ends) // 2, store.ends - 60 * random.randint(0, 59)


QUESTIONS = (
    Question(f"live view of {LIVE_CONNECTIONS} connections", 5,
             "select connection_id, metric, labels, at, value from saas.latest_sample",
             TWIN_LIVE, lambda store: None, True),
    Question("24 h in 5-minute buckets", 20, OWN_BUCKETS.format(step="5 minutes"),
             TWIN_BUCKETS.format(step="5 minutes"), some_day),
    Question("all days in hourly buckets", 50, OWN_BUCKETS.format(step="1 hour"),
             TWIN_BUCKETS.format(step="1 hour"), everything),
    Question("totals of half of the days", 50, OWN_TOTALS, TWIN_TOTALS, latter_half),
)


class Asked(NamedTuple):
    """Milliseconds: the first time, from wherever the data are, and the second, from memory."""
    took: float
    again: float
    cpu: float


class Asker:
    """One question in one session, prepared, as a tenant of our store or of the twin by hand."""

    def __init__(self, session, store, question):
        self.session, self.store, self.question = session, store, question
        self.asked = {}
        session.prepare("own", question.own)
        session.prepare("twin", question.twin)

    def ask(self, number, orgs):
        """The organization, metric and times of a round: the same on both sides."""
        if (number, id(orgs)) not in self.asked:
            org = self.store.live if self.question.of_live else random.choice(orgs)
            window = self.question.window(self.store)
            rest = [] if window is None else [f"bench_metric_{random.randint(1, METRICS)}", *window]
            self.asked[number, id(orgs)] = org, rest
        return self.asked[number, id(orgs)]

    def begin(self, side, org):
        if side == "own":
            self.session.as_member(self.store.user, org)
        else:
            self.session.run("begin")

    def timed(self, side, org, rest):
        parameters = as_array(rest if side == "own" else [org] + rest)
        self.begin(side, org)
        before = cpu_ns(self.session.pid)
        began = time.perf_counter()
        self.session.prepared(side.encode(), parameters)
        took = time.perf_counter() - began
        spent = cpu_ns(self.session.pid) - before
        self.session.run("rollback")
        return took * 1000, spent / 1e6

    def call(self, side, orgs):
        def once(number):
            org, rest = self.ask(number, orgs)
            took, _ = self.timed(side, org, rest)
            again, spent = self.timed(side, org, rest)
            return Asked(took, again, spent)
        return once

    def answers(self, side, orgs):
        """What the two sides give: names or times, each with its number."""
        org, rest = self.ask(-1, orgs)
        self.begin(side, org)
        try:
            rows = self.session.rows(*((self.question.own, *rest) if side == "own" else
                                       (self.question.twin, org, *rest)))
        finally:
            self.session.run("rollback")
        if self.question.of_live:
            return sorted(((row[0], row[1]), float(row[4])) for row in rows)
        if self.question.own == OWN_TOTALS:
            return totals_of(rows[0][0])
        return [(row[0], float(row[1])) for row in rows]


def totals_of(answer):
    found = json.loads(answer)
    return [(name, found[name]) for name in ("total", "previous")] + sorted(
        (part["connection_id"], part["value"]) for part in found["connections"])


def is_same(own, twin):
    """Sums of sums differ in their last digits from sums."""
    return len(own) == len(twin) and all(a[0] == b[0] and math.isclose(a[1], b[1], rel_tol=1e-9)
                                         for a, b in zip(own, twin))


def ask_all(store, stage):
    """Times of each question: of all organizations, and of those that the twin has, with the twin's."""
    results = {}
    twins = store.orgs if stage == 1 else store.twins
    for question in QUESTIONS:
        progress(f"metrics: {question.title}, {stage} days")
        with Session() as session:
            asker = Asker(session, store, question)
            if not is_same(asker.answers("own", twins), asker.answers("twin", twins)):
                raise DatabaseError(f"{question.title}: the twin answers otherwise")
            everyone = list(store.orgs)
            results[question.title] = interleave({"all": asker.call("own", everyone), "own": asker.call("own", twins),
                                                  "twin": asker.call("twin", twins)}, 200)
    return results


def verdict(took, again, aim):
    return "held" if took < aim else "held from memory" if again < aim else "not held"


def show_questions(stages):
    heading(f"Questions of tenants: a metric over {CONNECTIONS} connections, 200 calls each on prepared statements")
    table = Table("", "days loaded", "p50 ms", "p95 ms", "again p50", "p95", "CPU ms", "twin: p50 ms", "p95 ms", "again p50",
                  "p95", "again/twin", "p10..p90", "aim: p95 under", "")
    verdicts = []
    last = max(stages)
    for question in QUESTIONS:
        for stage, results in stages.items():
            times = results[question.title]
            took = {side: [asked.took for asked in times[side]] for side in times}
            again = {side: [asked.again for asked in times[side]] for side in times}
            to_twin = ratio(again["own"], again["twin"])
            judged = ("", "")
            if stage == last:
                verdicts.append(verdict(quantile(took["all"], 0.95), quantile(again["all"], 0.95), question.aim_ms))
                judged = (question.aim_ms, verdicts[-1])
            cells = {side: [f"{quantile(walls[side], share):.1f}" for walls in (took, again) for share in (0.5, 0.95)]
                     for side in ("all", "twin")}
            table.add(question.title, stage, *cells["all"], f"{Spread([asked.cpu for asked in times['all']]).median:.1f}",
                      *cells["twin"], f"{to_twin.median:.2f}", span(to_twin, "{:.2f}".format), *judged)
    table.show()
    note("Time on the clock of the statement, as saas_user with an identity, of random organizations, metrics and times;")
    note("again: the same question at once once more, when all that it reads is in memory.  CPU and ratio are of that.")
    note("Twin: the same question to one row per sample, without row-level security, index-only where PostgreSQL can;"
         f" of {metrics_store.TWIN_ORGANIZATIONS} organizations")
    note("from the second day on. The aims are those of 30 days.")
    return verdicts


# Charts

def charts(quick):
    with Session() as session:
        session.run("create table metrics.chart as"
                    " select array_agg(timestamptz '2026-01-01' + n * interval '1 minute' order by s, n) as at,"
                    " array_agg(100 * s + 10 * sin(n / 30.0) + random() order by s, n) as value,"
                    " array_agg('line ' || s order by s, n) as series"
                    f" from generate_series(1, {LINES}) as s, generate_series(1, {POINTS}) as n")
        session.prepare("draw", "select length(saas.line_chart(c.at, c.value, c.series)) from metrics.chart c")
        times = []
        nothing = as_array([])
        for number in range(60 if quick else 300):
            before = cpu_ns(session.pid)
            session.prepared(b"draw", nothing)
            if number >= 10:
                times.append((cpu_ns(session.pid) - before) / 1000)
        size = session.prepared_value(b"draw", nothing)
    heading(f"saas.line_chart() of {LINES} x {POINTS:,} points")
    spread = Spread(times)
    table = Table("", "calls", "CPU us", "p10..p90", "bytes of SVG")
    table.add("line chart", len(times), f"{spread.median:,.0f}", span(spread, "{:,.0f}".format), f"{int(size):,}")
    table.show()
    return []


def fill(store, done, stage):
    """The days up to the stage, so many at a time that they are in memory until they are rolled up. Seconds of both."""
    seconds = rolled = 0
    while done < stage:
        days = min(DAYS_AT_ONCE, stage - done)
        done += days
        progress(f"metrics: loading up to day {done}")
        seconds += store.load(days, done == stage)
        progress("metrics: rolling up")
        rolled += store.roll_up(store.ends)[0]
        store.settle()
    return seconds, rolled


def run(quick, person, work):
    wanted = wanted_days(quick)
    days, free = metrics_store.affordable_days(wanted, work)
    heading(f"Metrics: {ORGANIZATIONS} organizations x {CONNECTIONS} connections x {METRICS} metrics x 60 s,"
            f" {days} day{'' if days == 1 else 's'}: {days * SAMPLES_PER_DAY / 1e6:,.0f} million samples")
    if days < wanted:
        note(f"{wanted} days were wanted; {free:.0f} GB are free below {work}, which is enough for {days}")
    stages, loaded, verdicts = {}, [], []
    with Session() as session:
        store = Store(session, person)
        try:
            store.begin(days)
            done = 0
            for stage in [stage for stage in STAGES if stage < days] + [days]:
                seconds, rolled = fill(store, done, stage)
                note(f"loaded {stage - done} days in {seconds:,.0f} s")
                loaded.append((stage - done, rolled))
                done = stage
                stages[stage] = ask_all(store, stage)
            verdicts += show_sizes(store)
            verdicts += show_storing(*storing(store, quick))
            verdicts += show_rolling(roll_up_hour(store), loaded)
            verdicts += show_questions(stages)
            verdicts += charts(quick)
        finally:
            store.clean_up()
    return verdicts
