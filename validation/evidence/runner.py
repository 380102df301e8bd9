"""The suites share a budget: every free worker takes the next block of the suite that has had the least of its share."""

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from kd2m_theory.validation.evidence.blocks import Block, Blocks
from kd2m_theory.validation.evidence.suite import Suite
from kd2m_theory.validation.evidence.workers import workers

# Seconds between looks at the clock while all workers are busy.
_PATIENCE = 1.0


@dataclass
class Progress:
    """How far a suite is.

    Attributes:
        suite: the suite.
        store: where its blocks are kept.
        blocks: those that are kept, by number; a lost one is tried again.
        todo: numbers that are left.
        spent: seconds of workers in this run.
    """

    suite: Suite
    store: Blocks
    blocks: dict[int, Block]
    todo: list[int]
    spent: float = 0.0
    began: dict[int, float] = field(default_factory=dict)


def begun(suite: Suite, folder: Path, again: bool = False) -> Progress:
    """What is kept of a suite, and what is left.

    Raises:
        InputError: a kept block is damaged.
    """
    store = Blocks(folder, suite)
    if again:
        store.forget()
    kept = store.kept()
    todo = [number for number in range(suite.blocks) if number not in kept or kept[number].lost]
    return Progress(suite, store, kept, todo)


def run(
    parts: Sequence[Progress],
    minutes: float,
    count: int,
    watch: Callable[[Sequence[Progress]], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Compute blocks until none is left or the time is up; whether nobody interrupted it.

    A block under way when the time is up is finished and kept.

    Args:
        parts: the suites; each block is added to its part and kept at once.
        minutes: how long.
        count: workers.
        watch: called after every block.
        clock: seconds.
    """
    by_name = {part.suite.name: part for part in parts}
    end = clock() + 60 * minutes
    slack = 60 * minutes * count / (4 * len(parts))
    with workers(count) as pool:
        try:
            while True:
                while pool.idle and clock() < end and (part := _next(parts, clock(), pool.warm, slack)) is not None:
                    number = part.todo.pop(0)
                    part.began[number] = clock()
                    pool.begin(part.suite, number)
                if not pool.busy:
                    return True
                for suite, block in pool.finished(_PATIENCE):
                    part = by_name[suite.name]
                    part.spent += clock() - part.began.pop(block.number)
                    part.blocks[block.number] = block
                    part.store.keep(block)
                    watch(parts)
        except KeyboardInterrupt:
            return False


def _next(parts: Sequence[Progress], now: float, warm: Set[str], slack: float) -> Progress | None:
    """The suite that had least, or one whose libraries are loaded, unless it is ahead by more than a quarter of a share."""
    spent = {part.suite.name: part.spent + sum(now - start for start in part.began.values()) for part in parts if part.todo}
    if not spent:
        return None
    least = min(spent.values())
    chosen = min(spent, key=lambda name: (name not in warm or spent[name] > least + slack, spent[name]))
    return next(part for part in parts if part.suite.name == chosen)
