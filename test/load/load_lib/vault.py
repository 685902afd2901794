"""vault.py: what sealing, opening and rotating costs, against OpenSSL alone."""
import time

from .libpq import Session
from .process import cpu_ns, kept_off_last_core, pin
from .raw_sealer import RawSealer
from .samples import Spread, difference, interleave, ratio, verdict_at_most
from .table import Table, heading, note, progress, span

VALUES = 10000
ROTATED = 100000
SIZE = 200
AIM = 2.0
# The statements differ in what they do with each value.
STATEMENTS = {
    "plain": "select count(plain) from bench_vault",
    "sealed": "select count(value) from bench_vault",
    "seal": "select count(saas.seal(plain, 'bench', 'one')) from bench_vault",
    "open": "select count(saas.unseal(value, 'bench', 'one')) from bench_vault",
    "index": "select count(saas.blind_index(plain, 'bench')) from bench_vault",
}


def prepare(session, person):
    session.run("set log_min_messages = fatal", "begin")
    session.rows("select saas.assume_identity($1, $2)", person["user"]["id"], person["organization"]["id"])
    session.run("create temporary table bench_vault (plain text not null, value saas.sealed not null)",
                f"insert into bench_vault select t, saas.seal(t, 'bench', 'one')"
                f"  from (select rpad(md5(n::text), {SIZE}, 'x') as t from generate_series(1, {VALUES}) n) v",
                "analyze bench_vault")


def of_backend(session, name):
    statement = STATEMENTS[name].encode()

    def run(_number):
        before = cpu_ns(session.pid)
        session.simple(statement)
        return (cpu_ns(session.pid) - before) / VALUES
    return run


def fill_rotated(session, person, count):
    """A registered column of an application's table with so many sealed values of one organization."""
    session.run("create table if not exists bench_rotated (org_id uuid not null, id bigint, value saas.sealed not null,"
                " primary key (org_id, id))", "begin")
    session.rows("select saas.assume_identity($1, $2)", person["user"]["id"], person["organization"]["id"])
    session.run(f"insert into bench_rotated select saas.current_org_id(), n,"
                f"  saas.seal(rpad(md5(n::text), {SIZE}, 'x'), 'bench') from generate_series(1, {count}) n",
                "commit", "select saas.register_sealed_column('bench_rotated', 'value', 'bench')", "vacuum analyze bench_rotated")


def rotation(session, person, raw, quick):
    """A rotation of an organization's key, by the clock and in CPU of the session."""
    count = ROTATED // 10 if quick else ROTATED
    fill_rotated(session, person, count)
    statement = f"call saas.rotate_data_keys('{person['organization']['id']}')".encode()
    heading(f"saas.rotate_data_keys(), an organization with {count:,} values of {SIZE} bytes, one session")
    table = Table("", "values/s", "CPU us per value", "OpenSSL alone", "ratio")
    for number in (1, 2, 3):
        before, began = cpu_ns(session.pid), time.monotonic()
        session.simple(statement)
        seconds, spent = time.monotonic() - began, (cpu_ns(session.pid) - before) / count
        alone = raw.run("open", count) + raw.run("seal", count)
        table.add(f"rotation {number}", f"{count / seconds:,.0f}", f"{spent / 1000:.1f}", f"{alone / 1000:.1f}", f"{spent / alone:.1f}")
    table.show()
    note("Each value is opened and sealed again, its row updated, 200 rows a transaction; the ratio is to opening and")
    note("sealing alone, so most of it is what an update costs.")


def nanoseconds(value):
    return f"{value:,.0f}"


def run(quick, person, work):
    rounds = 10 if quick else 60
    verdicts = []
    progress("vault")
    with Session() as session, kept_off_last_core() as core, RawSealer(work, SIZE, core) as raw:
        pin(session.pid, core)
        prepare(session, person)
        variants = {name: of_backend(session, name) for name in STATEMENTS}
        variants |= {f"raw {what}": lambda _, what=what: raw.run(what, VALUES) for what in ("seal", "open")}
        times = interleave(variants, rounds)
        session.run("rollback")
        show(times, rounds, verdicts)
        rotation(session, person, raw, quick)
    return verdicts


def show(times, rounds, verdicts):
    table = Table("", "CPU ns per value", "OpenSSL alone", "ratio", "p10..p90", "aim", "")
    for what, without in (("seal", "plain"), ("open", "sealed")):
        spent = [with_it - nothing for with_it, nothing in zip(times[what], times[without])]
        alone = times[f"raw {what}"]
        ratios = ratio(spent, alone)
        verdicts.append(verdict_at_most(ratios, AIM))
        table.add(what, nanoseconds(Spread(spent).median), nanoseconds(Spread(alone).median),
                  f"{ratios.median:.2f}", span(ratios, lambda value: f"{value:.2f}"), f"{AIM:.0f}", verdicts[-1])
    index = difference(times["index"], times["plain"])
    table.add("blind index", nanoseconds(index.median))
    heading(f"The vault: {SIZE} bytes, {VALUES:,} values per statement, {rounds} rounds")
    table.show()
    note("saas.seal() and saas.unseal() in a statement over a table, less the same statement without them; OpenSSL alone:")
    note("one context that has its key, a random nonce for each value, associated data as long.")
