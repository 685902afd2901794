"""metrics_store.py: a fleet of connections with readings of days, and the same in a table of one row per sample."""
import json
import os
import pathlib
import re
import shutil
import threading
import time

from .libpq import Session
from .scale import FLEET, quoted
from .table import progress

ORGANIZATIONS = 100
CONNECTIONS = 10
METRICS = 20
LIVE_CONNECTIONS = 100
# These are in the table of samples for every day, all others for the first one.
TWIN_ORGANIZATIONS = 3
SAMPLES_PER_DAY = ORGANIZATIONS * CONNECTIONS * METRICS * 1440
# Measured: readings with their rollups, the samples of all for a day, what few have more of it each day, and WAL.
GB_PER_DAY, GB_OF_TWIN, GB_OF_TWIN_DAY, GB_BESIDES = 1.15, 3.6, 0.11, 4.0

TABLES = f"""
create schema metrics;
create table metrics.place as
select row_number() over (order by uuid_hash(c.id), c.id) as number, c.org_id, c.id as connection_id,
       saas.uuidv7() as layout_id, c.org_id = {{live}} as is_live, c.org_id = any ({{twins}}) as has_twin
  from saas.connection c where c.org_id = {{live}} or c.org_id = any ({{orgs}});
create table metrics.series as
select p.number * {METRICS} + m as id, p.org_id, p.connection_id, format('bench_metric_%s', m) as metric,
       '{{{{}}}}'::jsonb as labels
  from metrics.place p cross join generate_series(1, {METRICS}) as m;
alter table metrics.series add primary key (id);
create index on metrics.series (org_id, metric);
create table metrics.sample (series_id bigint not null, at timestamptz not null, value double precision not null,
                             primary key (series_id, at) include (value));
create table metrics.pool as
select n, array(select round((1000 * random())::numeric, 3)::double precision
                  from generate_series(1, {METRICS}) where n >= 0) as numbers
  from generate_series(0, 999) as n;
alter table metrics.pool add primary key (n);
insert into saas.series (org_id, connection_id, metric, labels)
select s.org_id, s.connection_id, s.metric, s.labels from metrics.series s order by s.id;
insert into saas.layout (org_id, id, connection_id, fingerprint, series_ids)
select p.org_id, p.layout_id, p.connection_id, sha256(uuid_send(p.connection_id)),
       array(select s.id from saas.series s where s.org_id = p.org_id and s.connection_id = p.connection_id
              order by substr(s.metric, 14)::integer)
  from metrics.place p;
create procedure metrics.load(since timestamptz, until timestamptz, live_since timestamptz, part integer, parts integer,
                               everybody boolean)
language plpgsql as $$
declare
    minute integer := 0;
    moment timestamptz := since;
begin
    while moment < until loop
        insert into saas.reading (org_id, connection_id, at, layout_id, "values")
        select p.org_id, p.connection_id, moment, p.layout_id, v.numbers
          from metrics.place p join metrics.pool v on v.n = (p.number * 7 + extract(epoch from moment)::bigint / 60) % 1000
         where p.number % parts = part and (not p.is_live or moment >= live_since);
        insert into metrics.sample (series_id, at, value)
        select p.number * {METRICS} + u.m, moment, u.value
          from metrics.place p join metrics.pool v on v.n = (p.number * 7 + extract(epoch from moment)::bigint / 60) % 1000
         cross join unnest(v.numbers) with ordinality as u (value, m)
         where p.number % parts = part and (case when p.is_live then moment >= live_since else everybody or p.has_twin end);
        minute := minute + 1;
        moment := moment + interval '1 minute';
        if minute % 60 = 0 then
            commit;
        end if;
    end loop;
end $$;
analyze metrics.place, metrics.series, metrics.pool, saas.series, saas.layout, saas.connection
"""


def needed_gb(days):
    return GB_PER_DAY * days + GB_OF_TWIN + GB_OF_TWIN_DAY * (days - 1) + GB_BESIDES


def affordable_days(wanted, work):
    """As many of the days as the disk has room for, with a tenth to spare."""
    free = shutil.disk_usage(work).free / 1e9
    days = wanted
    while days > 1 and needed_gb(days) > 0.9 * free:
        days -= 1
    if needed_gb(days) > 0.9 * free:
        raise RuntimeError(f"{needed_gb(days):.0f} GB are needed below {work}, and {free:.0f} are free")
    return days, free


def ingest_sql():
    """The statements that store readings, as the poller has them: of a poll's own time, and of any."""
    source = pathlib.Path(__file__).resolve().parents[3] / "src/store/ingest_reading.c"
    source = source.read_text(encoding="utf-8")

    def text(pattern):
        return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', re.search(pattern, source, re.S).group(1))).replace('\\"', '"')
    new = text(r"#define ADD_READINGS(.*?)\n\n")
    return new, new + text(r"put_readings = \{(.*?)\n\t7,")


class Store:
    """What is loaded: from begins to ends, in steps of days."""

    def __init__(self, session, person):
        self.session = session
        self.user = person["user"]["id"]
        self.ends = None
        self.begins = None
        session.run("alter system set saas.maintenance_enabled = off", "alter system set max_wal_size = '2GB'",
                    "alter system set full_page_writes = off", "select pg_reload_conf()")
        self.make_fleet(person)

    def make_fleet(self, person):
        progress("metrics: connections")
        session = self.session
        session.as_member(self.user, person["organization"]["id"])
        self.orgs = [json.loads(session.value("select saas_api.create_organization($1)", f"Metrics {number}"))["id"]
                     for number in range(ORGANIZATIONS + 1)]
        session.run("commit")
        for index, org in enumerate(self.orgs):
            count = LIVE_CONNECTIONS if index == ORGANIZATIONS else CONNECTIONS
            session.rows("select saas.set_plan($1, 'enterprise')", org)
            session.run(FLEET.format(user=quoted(self.user), org=quoted(org), count=count, index=index, port=9))
        self.live = self.orgs.pop()
        self.twins = self.orgs[:TWIN_ORGANIZATIONS]
        arrays = [f"array[{', '.join(quoted(org) for org in orgs)}]::uuid[]" for orgs in (self.orgs, self.twins)]
        session.run("update saas.connection_status s set next_poll_at = 'infinity' from saas.connection c"
                    f" where c.id = s.connection_id and (c.org_id = any ({arrays[0]}) or c.org_id = {quoted(self.live)})",
                    TABLES.format(live=quoted(self.live), orgs=arrays[0], twins=arrays[1]))

    def begin(self, days):
        """The days end at a midnight some hours ago: what is stored after it is of the past too."""
        self.ends = self.begins = int(self.session.value(
            "select extract(epoch from date_trunc('day', now() - interval '6 hours', 'UTC'))::bigint")) - days * 86400

    def partitions(self, until):
        self.session.rows("select saas_private.ensure_reading_partition(to_timestamp(n)) from"
                          " generate_series($1::bigint, $2::bigint, 86400) as n", self.begins, until)

    def load(self, days, with_live):
        """So many more days, with_live with the last six hours of the organization that has no more. Seconds that it took."""
        since, self.ends = self.ends, self.ends + days * 86400
        self.partitions(self.ends + 86400)
        parts = os.cpu_count() or 1
        everybody = since == self.begins
        first = since + 86400 if everybody else since
        began = time.monotonic()
        for from_s, until_s, everyone in ((since, first, True), (first, self.ends, False)):
            if from_s < until_s:
                self.load_parts(f"call metrics.load(to_timestamp({from_s}), to_timestamp({until_s}),"
                                f" to_timestamp({self.ends - 21600 * with_live}), {{}}, {parts}, {everyone})", parts)
        return time.monotonic() - began

    def load_parts(self, call, parts):
        failures = []

        def load(part):
            try:
                with Session() as session:
                    session.run("set synchronous_commit = off", call.format(part))
            except Exception as failure:  # told to the thread that waits
                failures.append(failure)
        threads = [threading.Thread(target=load, args=(part,)) for part in range(parts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def roll_up(self, until, is_small=False):
        """What saas.maintain() does, or with is_small the worker. Seconds and steps."""
        began, steps = time.monotonic(), 0
        step = "select saas_private.maintain_step(to_timestamp($1::bigint), $2)"
        while self.session.value(step, until, is_small) != "0":
            steps += 1
        return time.monotonic() - began, steps

    def settle(self):
        self.session.run("vacuum (analyze) saas.reading, saas.reading_5m, saas.reading_1h, saas.reading_1d, metrics.sample",
                         "analyze saas_private.rollup_progress", "checkpoint")

    def sizes(self):
        """Table, rows and bytes of the table and of its indexes."""
        names = "array['saas.reading', 'saas.reading_5m', 'saas.reading_1h', 'saas.reading_1d', 'metrics.sample']"
        return [(name, *(int(value) for value in values)) for name, *values in self.session.rows(f"""
            select r.name, sum(greatest(c.reltuples, 0))::bigint, sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid))
              from unnest({names}) with ordinality as r (name, n)
             cross join lateral (select r.name::regclass as relid union select t.relid from pg_partition_tree(r.name) t) t
              join pg_class c on c.oid = t.relid and c.relkind = 'r'
             group by r.name, r.n order by r.n""")]

    def clean_up(self):
        """Other parts find the tables and settings as they were."""
        session = self.session
        session.run("set client_min_messages = warning", "drop schema metrics cascade",
                    "truncate saas.reading, saas.reading_5m, saas.reading_1h, saas.reading_1d",
                    *(f"alter system reset {name}" for name in ("saas.maintenance_enabled", "full_page_writes")),
                    "alter system set max_wal_size = '8GB'", "select pg_reload_conf()")
