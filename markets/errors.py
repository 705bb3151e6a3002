"""The two failures that raise. The third kind, a reject, is an expected outcome and a code.

    FathomError
    |-- ConfigError       the user asked for something that cannot be: names the field by its path
    `-- BrokenInvariant   a bug in a mechanism: names step, venue, asset and difference

A reject never raises: see `markets.outcomes`.
"""


class FathomError(Exception):
    """Anything that Fathom raises on purpose."""


class ConfigError(FathomError):
    """A setting that cannot be used, found before the first step."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.field, self.problem)


class BrokenInvariant(FathomError):
    """A conservation or venue rule that does not hold: a bug, never a market outcome."""

    def __init__(self, rule: str, venue: str, asset: str, difference: int) -> None:
        super().__init__(f"{rule}: venue {venue}, asset {asset}, difference {difference} atoms")
        self.rule = rule
        self.venue = venue
        self.asset = asset
        self.difference = difference

    def __reduce__(self) -> tuple[type, tuple[str, str, str, int]]:
        return type(self), (self.rule, self.venue, self.asset, self.difference)
