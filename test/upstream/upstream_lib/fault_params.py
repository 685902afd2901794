"""fault_params.py: a fault's parameters, from a query string or from a rule's JSON."""


import asyncio


class FaultParams:
    def __init__(self, values, released=None):
        self.values = values
        self.released = released or asyncio.Event()

    def number(self, name, default, least=0, most=1 << 40):
        value = self.values.get(name, default)
        try:
            value = int(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be a whole number") from None
        if not least <= value <= most:
            raise ValueError(f"{name} must be from {least} to {most}")
        return value

    def text(self, name, default=""):
        return str(self.values.get(name, default))

    def flag(self, name):
        return self.values.get(name) in (True, 1, "1", "true", "yes")
