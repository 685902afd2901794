"""fault_rules.py: which coming requests are to be answered wrongly, and how often."""

import asyncio

from .aws import region_of

RESERVED = ("path", "fault", "times", "skip", "org", "method", "query", "region", "together")


class FaultRule:
    def __init__(self, number, spec, org):
        self.number = number
        self.path = text_of(spec, "path", "/").encode()
        self.fault = text_of(spec, "fault", "")
        self.method = text_of(spec, "method", "")
        self.org = org
        self.region = text_of(spec, "region", "")
        self.together = count_of(spec, "together", None)
        self.query = spec.get("query") or {}
        if not isinstance(self.query, dict):
            raise ValueError("query must be an object")
        self.left = count_of(spec, "times", None)
        self.skip = count_of(spec, "skip", 0)
        self.hits = 0
        self.released = asyncio.Event()  # set when the rule is deleted, or that many are there together
        self.params = {k: v for k, v in spec.items() if k not in RESERVED}

    def applies(self, request, registry):
        if not request.path.startswith(self.path) or self.left == 0:
            return False
        if self.method and request.method != self.method:
            return False
        if any(request.params.get(name) != value for name, value in self.query.items()):
            return False
        if self.region and region_of(request) != self.region:
            return False
        return self.org is None or registry.org_of(request) is self.org

    def describe(self):
        return {"id": self.number, "path": self.path.decode("latin-1"), "fault": self.fault,
                "method": self.method or None, "org_id": self.org.org_id if self.org else None,
                "query": self.query, "times_left": self.left, "skip_left": self.skip, "hits": self.hits, "params": self.params}


class FaultRules:
    def __init__(self, registry):
        self.registry = registry
        self.rules = []
        self.last_number = 0

    def add(self, spec, org):
        self.last_number += 1
        rule = FaultRule(self.last_number, spec, org)
        self.rules.append(rule)
        return rule

    def clear(self, number=None):
        removed = [r for r in self.rules if number is None or r.number == number]
        self.rules = [r for r in self.rules if r not in removed]
        for rule in removed:
            rule.released.set()
        return len(removed)

    def match(self, request):
        """The oldest rule that applies and has turns left; using it takes one."""
        for rule in self.rules:
            if rule.applies(request, self.registry):
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.left is not None:
                    rule.left -= 1
                rule.hits += 1
                if rule.hits == rule.together:
                    rule.released.set()
                return rule
        return None


def text_of(spec, name, default):
    value = spec.get(name)
    value = default if value is None else value
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string")
    return value


def count_of(spec, name, default):
    value = spec.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more")
    return value
