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
from runner.interrupt import Terminated, catch_terminate

ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_oom_retries": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
OBJECT_STORE_BYTES = 128 * 2**20
LOCAL = "local"
START_SECONDS = 6.0
STARTS = 2.0
CONNECT_SECONDS = 5.0


def break_even_seconds(workers: int) -> float:
    """Work from which it goes to Ray: what this machine would need for it is two starts of Ray.

        T(one process) = W        T(children) = W / n        T(Ray) = START + W / n

    To start two workers, have them load the code and stop them took 4.5 to 5.9 seconds, and the
    children work meanwhile (`fathom bench runner` says what it takes here). From W = 2 n START on
    Ray thus ends before one process does, with room for a START twice as long; below, the children
    share the work, and end sooner. What Ray gives for its start: workers write their own parts, so
    that a machine of many cores does not wait for one writer, and memory that runs out costs a
    worker, not the sweep.
    """
    return STARTS * START_SECONDS * workers if workers > 1 else float("inf")


def require_reachable(address: str) -> None:
    """Raise ConfigError unless something listens there: Ray itself would try for minutes."""
    if address in ("auto", LOCAL):
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
    """A Ray session. Raises ConfigError if there is no cluster.

    While Ray starts, SIGTERM is its own and raises SystemExit.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    local = address in (None, LOCAL)
    try:
        ray.init(
            address=LOCAL if local else address,
            num_cpus=workers if local else None,
            object_store_memory=OBJECT_STORE_BYTES if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except SystemExit:
        raise Terminated from None
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = str(error).splitlines()[0]
        token = "" if local else "; one that asks for a token needs RAY_AUTH_MODE=token here too"
        place = f"no Ray cluster at {address or LOCAL}"
        raise ConfigError("address", f"{place}: {reason}{token}") from None
    catch_terminate()
    try:
        there = workers if local else int(ray.cluster_resources().get("CPU", 1))
        yield Crew(ray, there)
    finally:
        ray.shutdown()
