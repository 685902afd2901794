"""table.py: results as lines for a terminal."""
import sys


def heading(text):
    print(f"\n{text}")


def note(text):
    print(f"  {text}")


def progress(text):
    print(f"# {text}", file=sys.stderr, flush=True)


class Table:
    """Columns as wide as they need to be; the first one is text, the others are numbers."""

    def __init__(self, *titles):
        self.rows = [titles]

    def add(self, *cells):
        missing = len(self.rows[0]) - len(cells)
        self.rows.append(tuple(str(cell) for cell in cells) + ("",) * missing)

    def show(self):
        widths = [max(len(row[column]) for row in self.rows) for column in range(len(self.rows[0]))]
        for row in self.rows:
            cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            print("  " + "  ".join(cells).rstrip())
        sys.stdout.flush()


def microseconds(ns):
    us = ns / 1000
    return f"{us:.1f}" if us < 100 else f"{us:,.0f}"


def span(spread, show):
    return f"{show(spread.p10)}..{show(spread.p90)}"
