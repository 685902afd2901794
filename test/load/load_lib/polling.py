"""polling.py: a thousand connections polled on demand."""
import json
import time

from .libpq import Session
from .process import MemoryWatch, cpu_ns
from .samples import Spread, verdict_at_most
from .table import Table, heading, note, progress

AIM_S = 3.0
AIM_MB = 64
LATENCY_MS = 200
TIMEOUT_MS = 60000
PATIENCE_S = 60


def pollers(session):
    """The poller's process once it is there and has nothing to do, else none."""
    return [int(row[0]) for row in session.rows(
        "select pid from saas.poller_status() where state in ('idle', 'disabled') and pid > 0")]


def fresh_poller(session):
    """Has the poller started anew, so that its memory holds nothing of earlier polls; returns its process."""
    old = [int(row[0]) for row in session.rows(
        "select s.pid from saas.poller_status() s where s.pid > 0 and pg_terminate_backend(s.pid) is not null")]
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        new = pollers(session)
        if new and not set(new) & set(old):
            return new[0]
        time.sleep(0.05)
    raise RuntimeError("the poller did not come back")


def limit_per_host(session, limit):
    session.run(f"alter system set saas.poller_max_per_host = {limit}", "select pg_reload_conf()")


class Fleet:
    """One organization with its connections to one upstream."""

    def __init__(self, session, person, upstream, count):
        self.upstream, self.count = upstream, count
        self.user = person["user"]["id"]
        self.title = upstream.scheme.upper()
        session.as_member(self.user, person["organization"]["id"])
        self.org = json.loads(session.value("select saas_api.create_organization($1)",
                                            f"Fleet {upstream.scheme}"))["id"]
        session.run("commit")
        self.connect(session, upstream.control("POST", "orgs", [{"enforce_api_limit": False}] * count))

    def connect(self, session, orgs):
        session.as_member(self.user, self.org)
        for number, org in enumerate(orgs):
            config = {"org_id": org["org_id"], "instance_url": self.upstream.url, "login_url": self.upstream.url}
            secrets = {name: org[name] for name in ("client_id", "client_secret", "access_token", "refresh_token")}
            session.rows("select saas_api.create_connection('salesforce', $1, $2::jsonb, $3::jsonb)",
                         f"Org {number}", json.dumps(config), json.dumps(secrets))
        session.run("commit")
        # Never due by itself: another fleet's turn must not poll this one.
        session.rows("update saas.connection_status set next_poll_at = 'infinity' where org_id = $1", self.org)

    def refresh(self, poller):
        """saas_api.refresh_connections() of all of them, done by the worker."""
        with Session() as session:
            session.as_member(self.user, self.org)
            with Watch(self, poller, session.pid) as watch:
                answers = json.loads(session.value("select saas_api.refresh_connections(null, $1)", TIMEOUT_MS))
            session.run("commit")
        good = [a for a in answers if a["ok"] and a["samples"] > 0 and not a["from_store"]]
        if len(good) != self.count:
            bad = next(a for a in answers if a not in good)
            raise RuntimeError(f"{len(good)} of {self.count} connections were refreshed: {bad}")
        return watch

    def poll(self, _poller):
        """call saas.poll() with all of them due, done by the calling session."""
        with Session() as session:
            session.rows("update saas.connection_status set next_poll_at = now() where org_id = $1", self.org)
            # Plans and catalog caches, which every session needs.
            session.run("call saas.poll(0)")
            with Watch(self, session.pid, None) as watch:
                session.run("call saas.poll()")
            left = session.value("select count(*) from saas.connection_status where org_id = $1"
                                 " and (status <> 'active' or next_poll_at <= now())", self.org)
            session.rows("update saas.connection_status set next_poll_at = 'infinity' where org_id = $1", self.org)
        if left != "0":
            raise RuntimeError(f"{left} connections were not polled")
        return watch


class Watch:
    """What a round took: time, the upstream's count, memory and CPU of whoever polls."""

    def __init__(self, fleet, pid, caller):
        self.fleet, self.pid, self.caller = fleet, pid, caller
        self.memory = MemoryWatch(pid)

    def times(self):
        return [cpu_ns(pid) / 1e9 if pid else 0 for pid in (self.pid, self.caller, self.fleet.upstream.process.pid)]

    def __enter__(self):
        self.fleet.upstream.control("DELETE", "stats")
        self.memory.__enter__()
        self.cpu = self.times()
        self.started = time.monotonic()
        return self

    def __exit__(self, *_):
        self.wall = time.monotonic() - self.started
        self.cpu = [after - before for after, before in zip(self.times(), self.cpu)]
        self.memory.__exit__()
        stats = self.fleet.upstream.control("GET", "stats")
        self.requests, self.peak = stats["requests"], stats["in_flight_peak"]


def measure(session, fleet, rounds, default):
    """{title: rounds} for one fleet, each title in a poller that starts with nothing in memory."""
    progress(f"{fleet.title}: first polls")
    first = [fleet.refresh(fresh_poller(session))]
    poller = fresh_poller(session)
    ways = {"refresh_connections()": fleet.refresh, "call saas.poll()": fleet.poll}
    results = {f"{fleet.title}, {name}": [] for name in ways}
    for number in range(rounds):
        progress(f"{fleet.title}: round {number + 1} of {rounds}")
        for name, way in ways.items():
            results[f"{fleet.title}, {name}"].append(way(poller))
    progress(f"{fleet.title}: at most {default} per host")
    limit_per_host(session, default)
    poller = fresh_poller(session)
    results[f"{fleet.title}, refresh, at most {default} per host"] = [
        fleet.refresh(poller) for _ in range((rounds + 1) // 2)]
    limit_per_host(session, fleet.count)
    results[f"{fleet.title}, very first poll: makes the series"] = first
    return results


def run(quick, person, upstreams, count):
    rounds = 2 if quick else 7
    with Session() as session:
        progress(f"connecting {count} Salesforce orgs over each of HTTP and HTTPS")
        fleets = [Fleet(session, person, upstream, count) for upstream in upstreams]
        default = session.value("select boot_val from pg_settings where name = 'saas.poller_max_per_host'")
        results = {}
        for fleet in fleets:
            results.update(measure(session, fleet, rounds, default))
    return show(results, count)


def verdicts_of(title, watches):
    """Time and memory. The aims are for as many at once as there are connections, the memory's for plain HTTP."""
    if not title.endswith("()"):
        return ["", ""]
    time_held = verdict_at_most(Spread([w.wall for w in watches]), AIM_S)
    own = max(w.memory.own for w in watches)
    return [time_held, ("held" if own <= AIM_MB else "not held") if title.startswith("HTTP,") else ""]


def cells(watches):
    wall = Spread([w.wall for w in watches])
    cpu = [Spread([w.cpu[place] for w in watches]).median for place in range(3)]
    own, growth = (max(getattr(w.memory, name) for w in watches) for name in ("own", "rss_growth"))
    requests = sorted({w.requests for w in watches})
    return (len(watches), f"{wall.median:.2f}", f"{wall.p10:.2f}..{wall.p90:.2f}",
            f"{watches[0].fleet.count / wall.median:,.0f}", "/".join(map(str, requests)),
            max(w.peak for w in watches), *(f"{seconds:.2f}" for seconds in cpu), f"{own:.0f}", f"{growth:.0f}")


def show(results, count):
    heading(f"{count:,} connections polled on demand, the upstream takes {LATENCY_MS} ms"
            f" (aim: under {AIM_S:.0f} s; over HTTP at most {AIM_MB} MB in the poller)")
    table = Table("", "rounds", "wall s", "p10..p90", "polls/s", "requests", "at once", "poller CPU s", "caller CPU s",
                  "upstream CPU s", "own MB", "RSS growth MB", "time", "memory")
    verdicts = []
    for title, watches in results.items():
        verdicts += verdicts_of(title, watches)
        table.add(title, *cells(watches), *verdicts_of(title, watches))
    table.show()
    note("Wall time as the caller sees it; requests of a round, and the most at once, as the upstream counts them.")
    note("own MB: the polling process's anonymous memory (proportional set size) at its peak; RSS growth: the same"
         " with the pages of")
    note("shared buffers that it touched for the first time; both the largest of all rounds.")
    return [verdict for verdict in verdicts if verdict]
