"""Streams of random numbers: one for each agent, process and domain, from (seed, name) alone.

The name is hashed into the spawn key of a NumPy `SeedSequence`, so that a stream depends neither
on how many others there are nor on the order in which they are made.
"""

import hashlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of `name` in the run with this seed (a whole number >= 0)."""
    digest = hashlib.sha256(name.encode()).digest()
    key = tuple(int.from_bytes(digest[at : at + 4], "little") for at in range(0, 16, 4))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
