"""Ray, started the way a sweep needs it and in no other.

Without an address a session of our own starts (`address="local"`: a plain `ray.init()` would join
any cluster that happens to run here), without dashboard, usage statistics or log forwarding. The
environment is set before Ray is imported: no private environment for workers under `uv run`, and a
task that runs out of memory is not retried for ever. With an address the cluster's nodes must see
the same file system and the same code; a worker with other code refuses.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from markets.errors import ConfigError
from runner.interrupt import catch_terminate

ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_oom_retries": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
OBJECT_STORE_BYTES = 128 * 2**20
START_SECONDS = 5.0
CONNECT_SECONDS = 5.0


def break_even_seconds(workers: int) -> float:
    """Work from which Ray ends sooner than one process: T = START + T / workers.

    START is measured: to start two workers, have them load the code and stop them took 4.5 to 5.9
    seconds (`fathom bench runner` says what it takes here). Forked children start at once, so up to
    there they share the work; from there on Ray's memory monitor and its scheduling are worth it.
    """
    return START_SECONDS / (1.0 - 1.0 / workers) if workers > 1 else float("inf")


def require_reachable(address: str) -> None:
    """Raise ConfigError unless something listens there: Ray itself would try for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ConfigError("address", f"must be host:port or auto, got {address!r}")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError("address", f"nobody answers at {address}: {error}") from None


@dataclass(frozen=True)
class Crew:
    """A running session: the Ray module, and how many workers it has."""

    ray: Any
    workers: int

    def count(self) -> int:
        """How many workers there are now."""
        return int(self.ray.cluster_resources().get("CPU", 0))


@contextmanager
def session(workers: int, address: str | None) -> Iterator[Crew]:
    """A Ray session. Raises ConfigError if there is no cluster."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    local = address is None
    try:
        ray.init(
            address="local" if local else address,
            num_cpus=workers if local else None,
            object_store_memory=OBJECT_STORE_BYTES if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError("address", f"no Ray cluster at {address or 'local'}: {reason}") from None
    catch_terminate()
    try:
        there = workers if local else int(ray.cluster_resources().get("CPU", 1))
        yield Crew(ray, there)
    finally:
        ray.shutdown()
