# Owns random changes of bytes for the runs without a fuzzing engine: same seed, same inputs.
"""Seeded mutation."""

import random
from collections.abc import Iterator

from tests.fuzz.seeds import TOKENS

INPUT_BYTES_MAX = 4096


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A changed copy: bits, bytes, tokens, pieces of other inputs, repetitions, cuts."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place = rng.randrange(len(changed) + 1)
        end = min(len(changed), place + rng.choice((1, 2, 4, 8, 64)))
        kind = rng.randrange(7)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place:end] = rng.randbytes(end - place)
        elif kind == 2:
            changed[place:place] = rng.choice(TOKENS)
        elif kind == 3:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            changed[place:end] = other[start : start + rng.randrange(200)]
        elif kind == 4:
            changed[place:place] = changed[place:end] * rng.randrange(1, 20)
        elif kind == 5:
            del changed[place:end]
        elif rng.randrange(4) == 0:
            del changed[place:]
    return bytes(changed[:INPUT_BYTES_MAX])


def inputs(seeds: list[bytes], seed: int) -> Iterator[bytes]:
    """The seeds, then changed ones without end."""
    yield from seeds
    rng = random.Random(seed)
    while True:
        yield mutated(rng.choice(seeds), seeds, rng)
