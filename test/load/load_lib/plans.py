"""plans.py: what a plan under row-level security has lost against the same query with the filter by hand."""
import json
import re

from . import shop
from .table import Table, heading, note

VALUE = r"\$\d+|saas\.\w+\([^)]*\)|'(?:[^']|'')*'::[\w ]+"


def explain(session, query, side, row, is_prepared):
    sql = shop.shape(query.sql, side)
    if not is_prepared:
        return json.loads(session.value(f"explain (format json) {shop.as_simple(sql, row)}"))[0]["Plan"]
    names = shop.parameters(sql)
    types, values = ", ".join(shop.TYPES[name] for name in names), ", ".join(f"'{row[name]}'" for name in names)
    session.run(f"prepare explained{f'({types})' if names else ''} as {shop.as_prepared(sql)}")
    plan = session.value(f"explain (format json) execute explained{f'({values})' if names else ''}")
    session.run("deallocate explained")
    return json.loads(plan)[0]["Plan"]


def columns_of(condition):
    """The left sides of an index condition; those that are not compared for equality with their operator."""
    found = set()
    for part in re.sub(VALUE, "?", condition).split(" AND "):
        column, operator = (re.sub(r"::\w+", "", part).strip("() ").split(" ") + ["", ""])[:2]
        found.add(column if operator == "=" else f"{column} {operator}")
    return frozenset(found) - {" ", "?"}


class Shape:
    """What of a plan is compared: tables with the conditions that indexes answer, workers, and how many scans."""

    def __init__(self, plan):
        self.columns, self.uses, self.workers, self.scans = {}, [], 0, 0
        self.walk(plan, None)

    def walk(self, node, table):
        table = node.get("Relation Name", table)
        self.workers += node.get("Workers Planned", 0)
        is_index = "Index Name" in node
        if is_index:
            columns = columns_of(node.get("Index Cond", ""))
            self.columns[table] = self.columns.get(table, frozenset()) | columns
            self.uses.append(f"{node['Index Name']} ({', '.join(sorted(columns))})")
        if "Relation Name" in node and node["Node Type"] != "ModifyTable":
            self.scans += 1
            if not is_index and node["Node Type"] != "Bitmap Heap Scan":
                self.uses.append(f"{node['Node Type']} on {table}")
        for child in node.get("Plans", ()):
            self.walk(child, table)

    def losses(self, by_hand):
        """What it lacks. A key that finds its row without org_id is as good as one with it."""
        found = []
        for table, columns in by_hand.columns.items():
            own = self.columns.get(table, frozenset())
            missing = columns - own
            if missing == {"org_id"} and own and not any(" " in column for column in own):
                continue
            if missing or table not in self.columns:
                found.append(f"the index for {', '.join(sorted(missing))} of {table}")
        if self.workers < by_hand.workers:
            found.append(f"parallelism ({self.workers} workers, not {by_hand.workers})")
        if self.scans > by_hand.scans:
            found.append(f"pruning ({self.scans} scans, not {by_hand.scans})")
        return found

    def __str__(self):
        return "; ".join(self.uses) + (f"; {self.workers} workers" if self.workers else "")


def shape_of(session, rows, query, side, is_prepared):
    org = rows.orgs_of(query)[0]
    if side.has_identity:
        session.as_member(rows.user, org)
    else:
        session.run("begin", f"set local role {side.role}")
    try:
        return Shape(explain(session, query, side, rows.of[query.rows, org][0], is_prepared))
    finally:
        session.run("rollback")


class Comparison:
    def __init__(self, session, rows):
        self.session, self.rows = session, rows
        # Tenants are refused EXPLAIN.
        session.run("set saas.restrict_sessions = off")
        self.lost = Table("query", "protocol", "lost", "by hand", "RLS")
        self.compared = self.differing = self.parallel = self.other = 0

    def add(self, name, query):
        for protocol in ("prepared", "simple"):
            rls, by_hand = (shape_of(self.session, self.rows, query, shop.SIDES[side], protocol == "prepared")
                            for side in ("rls", "by hand"))
            self.compared += 1
            self.parallel += by_hand.workers > 0
            self.other += rls.uses != by_hand.uses
            losses = rls.losses(by_hand)
            # The policy's organization is known to the planner, a parameter's is not in a generic plan.
            informed = shape_of(self.session, self.rows, query, shop.SIDES["by hand"], False)
            if losses and rls.losses(informed):
                self.differing += 1
                self.lost.add(f"{name}: {query.title}", protocol, "; ".join(losses), str(by_hand), str(rls))

    def show(self):
        if self.differing:
            self.lost.show()


def run(session, rows, groups, leaky):
    session.run("set plan_cache_mode = force_generic_plan")
    heading("Plans: what the policy loses of an index, of parallelism or of pruning")
    usual, parallel, other = (Comparison(session, rows) for _ in range(3))
    for name, queries in groups.items():
        for query in queries:
            usual.add(name, query)
    session.run("set max_parallel_workers_per_gather = 2")
    for name, queries in groups.items():
        for query in queries:
            if query.title.startswith("aggregate") or query.title == "join, all orders":
                parallel.add(name, query._replace(giant=True))
    session.run("set max_parallel_workers_per_gather = 0")
    for query in leaky:
        other.add("contact", query)
    note("lost: the filter by hand has it, with a parameter as well as with a constant")
    note(f"what is measured below: {usual.differing} of {usual.compared} plans lose something;"
         f" {usual.other} use other indexes or joins")
    usual.show()
    note(f"aggregates and joins of the organization with 1/5 of all rows, 2 workers allowed: {parallel.parallel} of"
         f" {parallel.compared} plans are parallel by hand, {parallel.differing} plans lose something")
    parallel.show()
    note(f"conditions that are not leakproof: {other.differing} of {other.compared} plans lose something")
    other.show()
