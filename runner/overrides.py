"""`--set a.b=v`: parameters given on the command line.

The value has TOML syntax (`0.5`, `true`, `[1, 2]`, `"text"`); a bare word is a string, so that
`--set rule=random` needs no quotes. Paths are checked against the scenario's parameters later, by
`experiments.simulate.resolve`, which suggests the nearest one.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from markets.errors import ConfigError


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """`["a.b=1"]` as `{"a.b": 1}`; raises ConfigError."""
    overrides: dict[str, Any] = {}
    for text in texts:
        path, separator, value = text.partition("=")
        path = path.strip()
        if not separator or not path:
            raise ConfigError("--set", f"expects path=value, such as maker.size=2, got {text!r}")
        if path in overrides:
            raise ConfigError(path, "set twice")
        overrides[path] = parse_value(value.strip())
    return overrides


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = parsed["value"]
    plain = isinstance(value, bool | int | float | str | list | dict)
    return value if plain and len(parsed) == 1 else text


def plain(value: Any, path: str) -> Any:
    """The value with NumPy's numbers and arrays, ranges and paths as what TOML knows.

    Raises ConfigError naming the path of what it cannot say.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(item, path) for item in value]
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, bool | int | float | str):
        raise ConfigError(path, f"must be a number, a text, a list or a mapping, got {value!r}")
    return value


def write_value(value: Any) -> str:
    """The value so that `parse_value` gives it back."""
    if isinstance(value, str):
        return value if parse_value(value) == value else json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(quoted(item) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(str(key))} = {quoted(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return repr(value)


def quoted(value: Any) -> str:
    """The value as TOML has it in a file."""
    return json.dumps(value) if isinstance(value, str) else write_value(value)
