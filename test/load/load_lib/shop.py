"""shop.py: the tables of an application on both sides, protected and with filters by hand, and what is asked of them."""
import collections
import os
import re

from .libpq import Session
from .table import progress

FILES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "isolation")
PER_ORDER = 4
TYPES = {"org": "uuid", "id": "uuid", "order": "uuid", "at": "timestamptz"}

# sql: [what only the filter by hand says], {s}.table, and of one row {org}, {id}, {order}, {at};
# rows: of which table; returning: what a write answers; of: which protocols have an aim.
Query = collections.namedtuple("Query", "title sql rows per_batch share returning of giant",
                               defaults=(1, None, ("prepared", "simple"), False))

PREPARED = ("prepared",)

PLAIN = (
    Query("point", "select * from {s}.orders where [org_id = {org} and ]id = {id}", "orders", 50, 2),
    Query("range, 100 newest", "select * from {s}.orders where [org_id = {org} and ]id < {id}"
          " order by id desc limit 100", "orders", 20, 2),
    Query("aggregate", "select product, count(*), sum(quantity * price) from {s}.order_items"
          " [where org_id = {org} ]group by product", "orders", 4),
    Query("aggregate, 1/5 of all rows", "select product, count(*), sum(quantity * price) from {s}.order_items"
          " [where org_id = {org} ]group by product", "orders", 1, 0.2, giant=True),
    Query("join, one order", "select o.status, o.amount, i.product, i.quantity from {s}.orders o join {s}.order_items i"
          " on (i.org_id, i.order_id) = (o.org_id, o.id) where [o.org_id = {org} and ]o.id = {id}", "orders", 30, 2),
    Query("join, all orders", "select o.status, count(*), sum(i.quantity * i.price) from {s}.orders o"
          " join {s}.order_items i on (i.org_id, i.order_id) = (o.org_id, o.id) [where o.org_id = {org} ]"
          "group by o.status", "orders", 2),
    Query("insert, 1 row", "insert into {s}.orders ([org_id, ]customer, status, amount)"
          " values ([{org}, ]'Customer 1', 'open', 5)", "orders", 30, 2, "org_id, customer, amount"),
    Query("insert, 1,000 rows", "insert into {s}.orders ([org_id, ]customer, status, amount)"
          " select [{org}, ]'Customer 1', 'open', n from generate_series(1, 1000) as n", "orders", 1, 1,
          "org_id, customer, amount"),
    Query("update", "update {s}.orders set status = 'sent' where [org_id = {org} and ]id = {id}", "orders", 30, 2,
          "id, status"),
)


def of_events(table, one, newest, some):
    """The queries of a partitioned table; simple queries plan all partitions anew, so they have no aim."""
    values = f"into {{s}}.{table} ([org_id, ]order_id, at, kind, value)"
    return (
        Query("point", f"select * from {{s}}.{table} where [org_id = {{org}} and ]{one}", table, 30, 2, None, PREPARED),
        Query("range, 100 newest", f"select * from {{s}}.{table} where [org_id = {{org}} and ]{newest} limit 100",
              table, 15, 2, None, PREPARED),
        Query("aggregate", f"select kind, count(*), sum(value) from {{s}}.{table} {some}group by kind",
              table, 4, 1, None, PREPARED),
        Query("join, one event", "select e.kind, e.at, o.status, o.amount"
              f" from {{s}}.{table} e join {{s}}.orders o on (o.org_id, o.id) = (e.org_id, e.order_id)"
              f" where [e.org_id = {{org}} and ]{one.replace('id =', 'e.id =')}", table, 20, 2, None, PREPARED),
        Query("insert, 1 row", f"insert {values} values ([{{org}}, ]{{order}}, {{at}}, 'made', 5)", table, 20, 2,
              "org_id, at, value", PREPARED),
        Query("insert, 1,000 rows", f"insert {values} select [{{org}}, ]{{order}}, {{at}}, 'made', n"
              " from generate_series(1, 1000) as n", table, 1, 1, "org_id, at, value", PREPARED),
        Query("update", f"update {{s}}.{table} set kind = 'lost' where [org_id = {{org}} and ]{one}", table, 20, 2,
              "id, kind", PREPARED),
    )


BY_ORG = of_events("event_by_org", "id = {id}", "id < {id} order by id desc", "[where org_id = {org} ]")
BY_TIME = of_events("event_by_time", "id = {id} and at = {at}",
                    "at < {at} and at >= {at} - interval '30 days' order by at desc",
                    "where [org_id = {org} and ]at >= {at} - interval '15 days' and at < {at} + interval '15 days' ")

# Conditions that PostgreSQL does not take for leakproof, each with an index for it.
LEAKY = (
    Query("lower(email) =", "select * from {s}.contact where [org_id = {org} and ]lower(email) = 'person77@example.com'",
          "contact", 1),
    Query("name like 'Customer 77%'", "select * from {s}.contact where [org_id = {org} and ]name like 'Customer 77%'",
          "contact", 1),
    Query("enum =", "select * from {s}.contact where [org_id = {org} and ]stage = 'new'", "contact", 1),
    Query("numeric range", "select * from {s}.contact where [org_id = {org} and ]balance between 700 and 701",
          "contact", 1),
    Query("jsonb @>", "select * from {s}.contact where [org_id = {org} and ]attributes @> '{\"customer\": 77}'",
          "contact", 1),
    Query("lower(email) in a column of its own",
          "select * from {s}.contact where [org_id = {org} and ]lower_email = 'person77@example.com'", "contact", 1),
)

# One way to ask: in which schema, with the filter by hand or not, as whom.
Side = collections.namedtuple("Side", "schema has_filter role has_identity")
SIDES = {
    "by hand": Side("shop", True, "bench_unrestricted", False),
    "rls": Side("shop", False, "saas_user", True),
    "twin": Side("twin", True, "bench_unrestricted", False),
}


def shape(sql, side):
    """The statement as a side says it, its parameters still by name."""
    return re.sub(r"\[(.*?)\]", r"\1" if side.has_filter else "", sql).replace("{s}", side.schema)


def parameters(shaped):
    return list(dict.fromkeys(re.findall(r"\{(\w+)\}", shaped)))


def as_prepared(shaped):
    names = parameters(shaped)
    return re.sub(r"\{(\w+)\}", lambda name: f"${names.index(name[1]) + 1}::{TYPES[name[1]]}", shaped)


def as_simple(shaped, row):
    return re.sub(r"\{(\w+)\}", lambda name: f"'{row[name[1]]}'" + ("::timestamptz" if name[1] == "at" else ""), shaped)


def run_file(session, name):
    with open(os.path.join(FILES, name), encoding="utf-8") as file:
        session.run(file.read())


def fill(orders, organizations):
    """Makes both schemas; saas.protect comes last, on the rows of an application that has run for a year."""
    with Session() as session:
        user = session.value("select id from saas.app_user order by created_at limit 1")
        session.run("set maintenance_work_mem = '256MB'", f"set bench.owner = '{user}'", f"set bench.orders = {orders}",
                    f"set bench.organizations = {organizations}", "set client_min_messages = warning")
        for schema in ("shop", "twin"):
            session.run(f"create schema {schema}", f"set search_path = {schema}")
            run_file(session, "tables.sql")
        session.run("reset search_path")
        for name in ("rows.sql", "twin.sql"):
            progress(f"isolation: {name}")
            run_file(session, name)
        for schema in ("shop", "twin"):
            session.run(f"set search_path = {schema}")
            run_file(session, "indexes.sql")
        session.run("reset search_path")
        for name in ("keys_by_hand.sql", "protect.sql"):
            progress(f"isolation: {name}")
            run_file(session, name)
        progress("isolation: vacuum")
        for schema in ("shop", "twin"):
            session.run(f"vacuum (freeze, analyze) {schema}.orders, {schema}.order_items, {schema}.event_by_time,"
                        f" {schema}.event_by_org, {schema}.contact")
    return user


class Rows:
    """Rows to ask for, by table and organization; from the middle on, so that a hundred precede each."""

    QUERIES = {
        "orders": "select id, id, created_at from shop.orders where org_id = $1",
        "event_by_time": "select id, order_id, at from shop.event_by_time where org_id = $1",
        "event_by_org": "select id, order_id, at from shop.event_by_org where org_id = $1",
        "contact": "select id, id, now() from shop.contact where org_id = $1",
    }

    def __init__(self, session, user, count):
        self.user = user
        self.giant = [session.value("select org_id from shop.tenant where n = 1")]
        self.orgs = [row[0] for row in session.rows("select org_id from shop.tenant where n > 1 order by md5(n::text)"
                                                    " limit $1", count)]
        self.of = {(table, org): self.some(session, sql, org)
                   for table, sql in self.QUERIES.items() for org in self.orgs + self.giant}

    @staticmethod
    def some(session, sql, org):
        rows = session.rows(f"select * from (select x.*, row_number() over (order by id) as r, count(*) over () as c"
                            f" from ({sql}) as x (id, order_id, at)) y where r > c / 2 order by md5(id::text) limit 100",
                            org)
        return [{"org": org, "id": row[0], "order": row[1], "at": row[2]} for row in rows]

    def orgs_of(self, query):
        return self.giant if query.giant else self.orgs
