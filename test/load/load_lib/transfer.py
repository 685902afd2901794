"""transfer.py: the poller's transfers alone beside wrk and curl, with the same server and document."""
import os
import pathlib
import subprocess

from .libpq import Session
from .process import kept_off_last_core, pin
from .samples import Spread, interleave, ratio
from .table import Table, heading, note, progress, span
from .web import Web, curl_rate, missing, wrk_rate

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "transfer_rate.c"
AT_ONCE = (100, 1000, 10000)
AIM_AT = 1000
AIM_SHARE = 0.4
HOSTS = (100, 1000, 5000)
PG_NET_RATES = (158, 400)


def build(work):
    """The library of transfer_rate(), and a session's function of it."""
    include = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--includedir-server"], check=True,
                             capture_output=True, text=True).stdout.strip()
    library = work / "transfer_rate.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-fPIC", "-shared", "-o", library, SOURCE,
                    "-I", SOURCE.parents[2] / "src", "-I", include], check=True)
    library.chmod(0o755)
    with Session() as session:
        session.run("create or replace function public.transfer_rate(urls text[], total integer, at_once integer)"
                    f" returns float8[] language c strict as '{library}', 'transfer_rate'")


def own_rate(session, urls, at_once, count):
    """Requests per second, and CPU of one in us."""
    row = session.rows("select count / r[1], r[2] * 1e6 / count from (select $2::integer as count) n,"
                       " transfer_rate($1, n.count, $3) as r", "{" + ",".join(urls) + "}", count, at_once)[0]
    return float(row[0]), float(row[1])


def measure(work, certificates, quick, core):
    rounds, count, seconds = (1, 60000, 2) if quick else (5, 150000, 4)
    results = {}
    with Web(work, certificates, core) as web, Session() as session:
        for at_once in AT_ONCE:
            progress(f"transfers: {at_once:,} at once")
            pin(session.pid, min(os.sched_getaffinity(0)))
            results[at_once] = interleave({
                "wrk": lambda _, n=at_once: wrk_rate(web.url(), n, seconds + n // 2000),
                "curl": lambda _, n=at_once: curl_rate(web.url(), n, count // 10, work),
                "poller": lambda _, n=at_once: own_rate(session, web.urls(n), n, max(count, 10 * n))}, rounds)
        progress("transfers: of many hosts")
        hosts = interleave({wanted: lambda _, urls=web.hosts(wanted): own_rate(session, urls, AIM_AT, count // 5)
                            for wanted in HOSTS}, rounds)
    return results, hosts


def run(quick, work, certificates):
    if missing():
        note(f"transfers are not measured: {', '.join(missing())} not found")
        return []
    build(work)
    with kept_off_last_core() as core:
        return show(*measure(work, certificates, quick, core))


def show_hosts(hosts):
    heading(f"Transfers alone of more hosts than connections are kept, {AIM_AT:,} at once")
    table = Table("hosts", "poller /s", "CPU us each", "p10..p90")
    for wanted, rates in hosts.items():
        cpu = Spread([cpu for _, cpu in rates])
        table.add(f"{wanted:,}", f"{Spread([rate for rate, _ in rates]).median:,.0f}", f"{cpu.median:.1f}",
                  span(cpu, "{:.1f}".format))
    table.show()


def show(results, hosts):
    heading(f"Transfers alone, 10 KB from nginx (aim: at least {AIM_SHARE:.0%} of wrk's rate at {AIM_AT:,} at once)")
    table = Table("at once", "wrk /s", "curl --parallel /s", "poller /s", "CPU us each", "poller / wrk", "p10..p90",
                  "poller / curl", "")
    verdicts = []
    for at_once, rates in results.items():
        own = [rate for rate, _ in rates["poller"]]
        share = ratio(own, rates["wrk"])
        verdict = ""
        if at_once == AIM_AT:
            verdict = "held" if share.median >= AIM_SHARE else "not held"
            verdicts.append(verdict)
        table.add(f"{at_once:,}", f"{Spread(rates['wrk']).median:,.0f}", f"{Spread(rates['curl']).median:,.0f}",
                  f"{Spread(own).median:,.0f}", f"{Spread([cpu for _, cpu in rates['poller']]).median:.1f}",
                  f"{share.median:.2f}", span(share, lambda value: f"{value:.2f}"),
                  f"{ratio(own, rates['curl']).median:.1f}", verdict)
    table.show()
    note("nginx has one worker on a core of its own, each client the other core; wrk and curl ask one address, the"
         " poller a hundred")
    note("ports of it; curl 7.88 does 300 at once at most; the poller as many as its descriptors allow.")
    show_hosts(hosts)
    return verdicts
