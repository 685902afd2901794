"""process.py: what /proc says about a process: CPU time, memory, and where it may run."""
import contextlib
import os
import threading
import time


@contextlib.contextmanager
def kept_off_last_core():
    """Keeps this process off the last core while the block runs: that one is for the measured backends."""
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {max(cores)})
    try:
        yield max(cores)
    finally:
        os.sched_setaffinity(0, cores)


def pin(pid, core):
    os.sched_setaffinity(pid, {core})


def is_sleeping(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def run_time(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def cpu_ns(pid):
    """CPU time so far. The kernel adds it up when the process goes to sleep, so that is waited for."""
    while True:
        before = run_time(pid)
        if is_sleeping(pid) and run_time(pid) == before:
            return before
        time.sleep(0.00005)


def fields(path):
    with open(path, encoding="ascii", errors="replace") as file:
        pairs = (line.partition(":") for line in file)
        return {name: int(rest.split()[0]) for name, _, rest in pairs if rest.strip().endswith("kB")}


class MemoryWatch:
    """
    Peak memory of a process while the block runs, in MB: own is what it alone
    has (anonymous, proportional set size); rss_growth counts the pages of
    shared buffers too that it touched for the first time.
    """

    def __init__(self, pid, every_s=0.02):
        self.pid = pid
        self.every_s = every_s
        self.own = self.rss_growth = 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def look(self):
        self.own = max(self.own, fields(f"/proc/{self.pid}/smaps_rollup")["Pss_Anon"] / 1024)

    def watch(self):
        while not self.done.wait(self.every_s):
            self.look()

    def __enter__(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # the peak starts from now
        self.rss_before = fields(f"/proc/{self.pid}/status")["VmRSS"]
        self.look()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.look()
        self.rss_growth = (fields(f"/proc/{self.pid}/status")["VmHWM"] - self.rss_before) / 1024


def machine():
    """One line about the machine."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    memory = fields("/proc/meminfo")["MemTotal"] / 1024 / 1024
    return f"{os.cpu_count()} cores ({names[0] if names else os.uname().machine}), {memory:.0f} GB"
