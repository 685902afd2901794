"""limits.py: an org's limits document, in which only the API budget changes with each request."""
import copy

from .message import compact_json

BUDGET = "DailyApiRequests"
MARK = "remaining-goes-here"


class LimitsDocument:
    """The document as bytes around the one number that changes; orgs without overrides share one."""

    __slots__ = ("limits", "before", "after", "budget")

    def __init__(self, limits):
        self.limits = limits
        budget = limits.get(BUDGET)
        if not isinstance(budget, dict) or not is_count(budget.get("Max")) or not is_count(budget.get("Remaining")):
            self.budget = None
            self.before, self.after = compact_json(limits), None
            return
        self.budget = (budget["Max"], budget["Remaining"])
        marked = {**limits, BUDGET: {**budget, "Remaining": MARK}}
        self.before, self.after = compact_json(marked).split(compact_json(MARK), 1)

    def render(self, remaining):
        return self.before if self.after is None else b"%b%d%b" % (self.before, remaining, self.after)

    def merged(self, changes):
        """A new document with `changes` laid over this one; null takes a name away."""
        return LimitsDocument(merge(copy.deepcopy(self.limits), changes))


def merge(target, changes):
    for name, value in changes.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict) and isinstance(target.get(name), dict):
            merge(target[name], value)
        else:
            target[name] = value
    return target


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool)
