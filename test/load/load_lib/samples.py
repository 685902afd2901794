"""samples.py: interleaved measurements and what they come to."""
import random


def quantile(values, share):
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class Spread:
    """Median and the middle 80 % of some values."""

    def __init__(self, values):
        self.median = quantile(values, 0.5)
        self.p10 = quantile(values, 0.1)
        self.p90 = quantile(values, 0.9)

    @property
    def half_width(self):
        return (self.p90 - self.p10) / 2


def pairs(values, others, combine):
    """Round by round, because what disturbs a round disturbs its neighbours alike."""
    return Spread([combine(value, other) for value, other in zip(values, others)])


def ratio(values, others):
    return pairs(values, others, lambda value, other: value / other)


def difference(values, others):
    return pairs(values, others, lambda value, other: value - other)


def interleave(variants, rounds):
    """
    Calls each of {name: function(round)} once a round, in another order every
    round, so that none always profits from what its predecessor has left in
    the caches. The first round warms plans up and is not counted.
    """
    results = {name: [] for name in variants}
    names = list(variants)
    for number in range(rounds + 1):
        first = names[number % len(names)]
        others = [name for name in names if name != first]
        for name in [first] + random.sample(others, len(others)):
            value = variants[name](number)
            if number > 0:
                results[name].append(value)
    return results


def verdict_at_most(spread, aim, equal_to=None):
    """Whether a median keeps to the aim; one that differs from equal_to by less than the spread equals it."""
    if spread.median <= aim:
        return "held"
    if equal_to is not None and abs(spread.median - equal_to) <= spread.half_width:
        return "within spread"
    return "not held"


def worst(verdicts):
    return max(verdicts, key=("held", "within spread", "not held").index)
