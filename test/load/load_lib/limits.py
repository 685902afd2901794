"""limits.py: what counting a request in shared memory costs, alone and in a crowd."""
import threading

from .libpq import Session
from .process import cpu_ns
from .samples import Spread, difference, interleave, verdict_at_most
from .table import Table, heading, note, progress, span

CALLS = 20000
CLIENTS = 8
AIM_NS = 1000
COUNT = "select count({}) from generate_series(1, {}) n"
NOTHING = "saas.current_user_id()"
CHECK = "saas_private.check_rate_limit('{}')"


class Crowd:
    """Sessions that run the same statement at the same time."""

    def __init__(self, sessions):
        self.sessions = sessions

    def run(self, expressions):
        statements = [COUNT.format(expression, CALLS).encode() for expression in expressions]
        threads = [threading.Thread(target=session.simple, args=(statement,))
                   for session, statement in zip(self.sessions, statements)]
        before = sum(cpu_ns(session.pid) for session in self.sessions)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (sum(cpu_ns(session.pid) for session in self.sessions) - before) / CALLS / len(self.sessions)

    def variants(self):
        numbers = range(1, len(self.sessions) + 1)
        return {
            "nothing": lambda _: self.run([NOTHING for _ in numbers]),
            "one key": lambda _: self.run([CHECK.format("192.0.2.1") for _ in numbers]),
            "own keys": lambda _: self.run([CHECK.format(f"192.0.2.{n}") for n in numbers]),
        }


def nanoseconds(value):
    return f"{value:,.0f}"


def run(quick):
    rounds = 6 if quick else 30
    table = Table("", "CPU ns per call", "p10..p90", "")
    verdicts = []
    with Session() as operator:
        progress("rate limits")
        operator.run("select saas.set_rate_limit('address', null, 1000000000, '1 day')")
        for clients in (1, CLIENTS):
            sessions = [Session() for _ in range(clients)]
            try:
                times = interleave(Crowd(sessions).variants(), rounds)
            finally:
                for session in sessions:
                    session.close()
            for name in ("one key", "own keys"):
                spread = difference(times[name], times["nothing"])
                verdicts.append(verdict_at_most(spread, AIM_NS, equal_to=AIM_NS))
                table.add(f"{clients} client{'s' if clients > 1 else ''}, {name}", nanoseconds(spread.median),
                          span(spread, nanoseconds), verdicts[-1])
            empty = Spread(times["nothing"])
            table.add(f"{clients} client{'s' if clients > 1 else ''}, an empty function instead",
                      nanoseconds(empty.median), span(empty, nanoseconds))
        operator.run("select saas.set_rate_limit('address', null, 300, '15 minutes')")
    heading(f"saas_private.check_rate_limit(), {CALLS:,} calls per statement, {rounds} rounds")
    table.show()
    note("What a call adds to an empty function in C, CPU of the backends; with the row that it answers."
         f" Aim: at most {AIM_NS:,} ns.")
    return verdicts
