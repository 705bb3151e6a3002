"""Parameters: frozen, checked, and named by their path when they are wrong.

Every venue, agent and scenario has a nested `Params`; unknown fields, wrong types, NaN and infinity
are refused before the first step. Fields speak base and quote units and carry their unit as suffix.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from markets.errors import ConfigError


class Params(BaseModel):
    """Base of all parameter sets."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def read(cls, values: Mapping[str, Any], path: str = "") -> Self:
        """Build from plain values; raises ConfigError naming the first wrong field by its path."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            steps = [path, *(str(step) for step in first["loc"])]
            field = ".".join(step for step in steps if step)
            problem = first["msg"].removeprefix("Value error, ")
            raise ConfigError(field or cls.__name__, problem) from None
