"""scale.py: ten thousand connections, with reading and storing."""
import json
import os
import threading
import time

from . import polling
from .libpq import Session, as_array
from .process import MemoryWatch, cpu_ns, kept_off_last_core, pin
from .samples import Spread, verdict_at_most
from .table import Table, heading, note, progress, span
from .transfer import AIM_AT, AT_ONCE, PG_NET_RATES
from .upstream import Upstream
from .web import Silence, Web, cpu_share, missing

ORGANIZATIONS = 100
PER_ORGANIZATION = 100
AIM_CPU_US = 150
INTERVAL_S = 60
HANGING_EACH = 10
AIM_CORE = 0.2
AIM_MB = {"HTTP": 200, "HTTPS": 1000}
AIM_LAG_S = 1.0
AIM_TRANSACTION_MS = 100
REFRESHED = 10
AIM_REFRESH_MS = polling.LATENCY_MS + 50
PATIENCE_S = 300

FLEET = """
do $$
begin
    perform saas.assume_identity({user}, {org});
    set local role saas_user;
    for number in 1..{count} loop
        perform saas_api.create_connection('prometheus', 'Page ' || number,
            jsonb_build_object('url', format('http://127.0.0.1:{port}/metrics?organization={index}&page=%s', number)));
    end loop;
end $$"""


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def make_fleet(session, person, web):
    """ORGANIZATIONS with PER_ORGANIZATION pages each, never due."""
    user = person["user"]["id"]
    session.as_member(user, person["organization"]["id"])
    orgs = [json.loads(session.value("select saas_api.create_organization($1)", f"Scale {number}"))["id"]
            for number in range(ORGANIZATIONS)]
    session.run("commit")
    for index, org in enumerate(orgs):
        session.run(FLEET.format(user=quoted(user), org=quoted(org), count=PER_ORGANIZATION, index=index, port=web.port))
    session.run(f"create table public.scale as select c.org_id, c.id, row_number() over (order by c.name, c.org_id) as number"
                f" from saas.connection c where c.org_id in ({', '.join(quoted(org) for org in orgs)})",
                # Longer than any sweep takes.
                "update saas.connection c set poll_interval = '1 day' from public.scale f where f.id = c.id", "analyze")
    rest(session)


def rest(session):
    session.run("update saas.connection_status s set next_poll_at = 'infinity', consecutive_failures = 0,"
                " status = 'active' from public.scale f where f.id = s.connection_id")


def aim_at(session, web, secure=False, silence=None):
    """Lets page number n poll the n-th address; one in HANGING_EACH the silent one."""
    scheme, first = ("https://localhost", web.secure_port) if secure else ("http://127.0.0.1", web.port)
    session.run(f"""
        update saas.connection c set config = jsonb_build_object('url', a.base || '/metrics?page=' || f.number),
                                     origin = 'prometheus ' || a.base
          from public.scale f
         cross join lateral (select case when {'f.number % ' + str(HANGING_EACH) + ' = 0' if silence else 'false'}
                                         then 'http://127.0.0.1:{silence.port if silence else 0}'
                                         else '{scheme}:' || {first} + f.number % {100} end as base) as a
         where c.id = f.id""")


def set_limits(session, at_once):
    for name in ("in_flight", "per_org"):
        session.run(f"alter system set saas.poller_max_{name} = {at_once}")
    session.run("select pg_reload_conf()")


class Transactions:
    """The longest transaction of a process, looked at every few milliseconds."""

    def __init__(self, pid):
        self.pid, self.longest = pid, 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        with Session() as session:
            session.prepare("age", "select extract(epoch from clock_timestamp() - xact_start) * 1000"
                                   f" from pg_stat_get_activity({self.pid}) where backend_type <> 'client backend'"
                                   " or query not like 'call%'")
            while not self.done.wait(0.004):
                age = session.prepared_value(b"age", as_array([]))
                self.longest = max(self.longest, float(age) if age else 0.0)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def sweep(session):
    """call saas.poll() of all: polls a second, CPU us of each."""
    count = ORGANIZATIONS * PER_ORGANIZATION
    session.run("update saas.connection_status s set next_poll_at = now() from public.scale f where f.id = s.connection_id",
                # Two of the three versions of a row are the benchmark's own.
                "vacuum saas.connection_status")
    cpu, started = cpu_ns(session.pid), time.monotonic()
    session.run("call saas.poll()")
    took, cpu = time.monotonic() - started, cpu_ns(session.pid) - cpu
    left = session.value("select count(*) from public.scale f join saas.connection_status s on s.connection_id = f.id"
                         " where s.status <> 'active' or s.last_error is not null or s.next_poll_at <= now()")
    if left != "0":
        reason = session.value("select max(s.last_error) from public.scale f join saas.connection_status s"
                               " on s.connection_id = f.id")
        raise RuntimeError(f"{left} of {count} connections were not polled: {reason}")
    rest(session)
    return count / took, cpu / 1000 / count


def show_sweeps(results):
    heading(f"10,000 polled, read and stored: 10 KB of 20 metrics from nginx (aims at 1,000 at once: at most {AIM_CPU_US} us of"
            f" CPU for each; {10 * PG_NET_RATES[0]:,} to {10 * PG_NET_RATES[1]:,} a second)")
    table = Table("at once", "rounds", "polls/s", "p10..p90", "CPU us each", "p10..p90", "rate", "CPU")
    verdicts = []
    for at_once, rounds in results.items():
        rate, cpu = (Spread([r[place] for r in rounds]) for place in (0, 1))
        own = ["held" if rate.median >= 10 * PG_NET_RATES[1] else "not held", verdict_at_most(cpu, AIM_CPU_US)]
        own = own if at_once == AIM_AT else ["", ""]
        verdicts += [verdict for verdict in own if verdict]
        table.add(f"{at_once:,}", len(rounds), f"{rate.median:,.0f}", span(rate, lambda v: f"{v:,.0f}"),
                  f"{cpu.median:.0f}", span(cpu, lambda v: f"{v:.0f}"), *own)
    table.show()
    note("call saas.poll(), CPU of the session that polls; the schedule is vacuumed before each round, whose updates are"
         f" mostly the benchmark's own. pg_net's published rates are {PG_NET_RATES[0]} to {PG_NET_RATES[1]} a second.")
    return verdicts


def sweeps(session, web, quick):
    results = {}
    with Session() as poller:
        pin(poller.pid, min(os.sched_getaffinity(0)))
        aim_at(session, web)
        set_limits(session, AIM_AT)
        progress("first polls of 10,000")
        sweep(poller)
        for at_once in AT_ONCE:
            progress(f"polling 10,000, {at_once:,} at once")
            set_limits(session, at_once)
            sweep(poller)
            results[at_once] = [sweep(poller) for _ in range(2 if quick else 7)]
    return show_sweeps(results)


def started(session):
    """Switches the poller on and waits until every connection has been polled once."""
    session.run("update saas.connection c set poll_interval = '60 s' from public.scale f where f.id = c.id",
                "update saas.connection_status s set next_poll_at = now() + random() * interval '60 s',"
                " last_polled_at = null from public.scale f where f.id = s.connection_id",
                "vacuum analyze saas.connection_status",
                "alter system set saas.poller_enabled = on", "alter system set autovacuum = on", "select pg_reload_conf()")
    give_up_at = time.monotonic() + PATIENCE_S
    while session.value("select exists (select from public.scale f join saas.connection_status s"
                        " on s.connection_id = f.id where s.last_polled_at is null)") == "t":
        if time.monotonic() > give_up_at:
            raise RuntimeError("not every connection was polled")
        time.sleep(1)


def stopped(session):
    session.run("alter system set saas.poller_enabled = off", "alter system set autovacuum = off", "select pg_reload_conf()")
    rest(session)


def lag(session):
    """Seconds from when polls that went well were due to their start: median, p99 and the longest."""
    return [float(value) for value in session.rows(
        "select percentile_cont(0.5) within group (order by l), percentile_cont(0.99) within group (order by l), max(l)"
        "  from (select extract(epoch from (select min(r.at) from saas.reading r where r.org_id = p.org_id"
        "                                      and r.connection_id = p.id and r.at >= p.due_at) - p.due_at) as l"
        "          from public.scale_due p) as polls where l is not null")[0]]


def steady(session, web, title, quick):
    """One minute and more of everything on its interval, one upstream in ten hanging."""
    seconds = 65 if quick else 190
    with Silence() as silence:
        aim_at(session, web, title == "HTTPS", silence)
        pid = polling.fresh_poller(session)
        progress(f"{title}: every connection once")
        started(session)
        progress(f"{title}: {seconds} s of 10,000 connections on {INTERVAL_S} s")
        session.run("drop table if exists public.scale_due",
                    "create table public.scale_due as select f.org_id, f.id, s.next_poll_at as due_at from public.scale f"
                    " join saas.connection_status s on s.connection_id = f.id"
                    f" where f.number % {HANGING_EACH} <> 0 and s.next_poll_at between now() and now() + '60 s'")
        polls = "select count(*) from saas.reading r join public.scale f on f.id = r.connection_id where r.at > $1"
        since = session.value("select now()")
        with MemoryWatch(pid, 0.5) as memory, Transactions(pid) as transactions:
            share = cpu_share(pid, seconds)
        result = (share, memory.own, *lag(session), transactions.longest, int(session.value(polls, since)) / seconds)
        stopped(session)
    return result


def show_steady(results):
    heading(f"10,000 connections every {INTERVAL_S} s, one upstream in {HANGING_EACH} never answers (aims: {AIM_CORE:.0%} of a"
            f" core, {AIM_MB['HTTP']} MB and over TLS {AIM_MB['HTTPS']:,} MB, lag p99 {AIM_LAG_S:.0f} s, transactions under"
            f" {AIM_TRANSACTION_MS} ms)")
    table = Table("", "polls/s", "share of a core", "own MB", "lag s: median", "p99", "longest", "longest transaction ms",
                  "core", "memory", "lag", "transaction")
    verdicts = []
    for title, (share, own, median, p99, longest, transaction, rate) in results.items():
        held = ["held" if value < aim else "not held" for value, aim in (
            (share, AIM_CORE), (own, AIM_MB[title]), (p99, AIM_LAG_S), (transaction, AIM_TRANSACTION_MS))]
        verdicts += held
        table.add(title, f"{rate:.0f}", f"{share:.1%}", f"{own:.0f}", f"{median:.2f}", f"{p99:.2f}", f"{longest:.2f}",
                  f"{transaction:.0f}", *held)
    table.show()
    return verdicts


def refresh_ten(session, person, work, quick):
    with Upstream(work, polling.LATENCY_MS) as upstream:
        fleet = polling.Fleet(session, person, upstream, REFRESHED)
        poller = polling.fresh_poller(session)
        fleet.refresh(poller)
        walls = Spread([fleet.refresh(poller).wall * 1000 for _ in range(5 if quick else 30)])
    heading(f"On-demand refresh of {REFRESHED}, the upstream takes {polling.LATENCY_MS} ms (aim: at most"
            f" {AIM_REFRESH_MS} ms)")
    verdict = verdict_at_most(walls, AIM_REFRESH_MS)
    note(f"{walls.median:.0f} ms ({span(walls, lambda v: f'{v:.0f}')}): {verdict}")
    return [verdict]


def run(quick, person, work, certificates):
    if missing():
        note(f"scale is not measured: {', '.join(missing())} not found")
        return []
    with kept_off_last_core() as core, Web(work, certificates, core) as web, Session() as session:
        progress("10,000 connections")
        make_fleet(session, person, web)
        verdicts = sweeps(session, web, quick)
        set_limits(session, 2000)
        verdicts += show_steady({title: steady(session, web, title, quick) for title in ("HTTP", "HTTPS")})
        return verdicts + refresh_ten(session, person, work, quick)
