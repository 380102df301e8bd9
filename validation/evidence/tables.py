"""The table of a suite: everything that its blocks showed, as one small JSON file, read back with its shape checked."""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kd2m_theory.errors import InputError
from kd2m_theory.files import write_atomically
from kd2m_theory.validation.evidence.runner import Progress
from kd2m_theory.validation.evidence.suite import SEED, Tally

SCHEMA = "kd2m-evidence/1"
# Failures that a table describes; all are counted.
_SHOWN = 60
_WORDS = 400
_PACKAGES = ("numpy", "scipy", "mpmath", "POT", "torch")
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "suite": str,
    "claim": str,
    "oracle": str,
    "case": str,
    "held": bool,
    "complete": bool,
    "cases": int,
    "failed": int,
    "blocks": dict,
    "strata": dict,
    "failures": list,
    "doubts": list,
    "version": str,
    "numbers": int,
    "date": str,
    "seconds": (int, float),
}


def file_name(suite: str) -> str:
    """The name of a suite's table."""
    return f"evidence-{suite}.json"


def table(part: Progress, today: str | None = None) -> dict[str, Any]:
    """What the blocks of a suite show, as plain data.

    `held` is whether nothing failed and no block was lost; `complete` whether all wanted blocks are there and no doubt is left.
    """
    suite, tally = part.suite, Tally()
    wanted = [part.blocks[number] for number in sorted(part.blocks) if number < suite.blocks]
    for block in wanted:
        if block.tally is not None:
            tally.merge(block.tally)
    lost = [f"block {block.number}: {block.lost}" for block in wanted if block.lost]
    done = sum(block.tally is not None for block in wanted)
    judged = suite.judge(tally)
    doubts = [*judged.doubts, *(() if tally.cases else ("there is no case",))]
    return {
        "schema": SCHEMA,
        "suite": suite.name,
        "claim": suite.claim,
        "oracle": suite.oracle,
        "case": suite.case,
        "held": not (judged.failed or lost),
        "complete": done == suite.blocks and not doubts,
        "cases": tally.cases,
        "failed": judged.failed,
        "blocks": {"done": done, "wanted": suite.blocks, "items": suite.items, "lost": len(lost), "why": lost[:_SHOWN]},
        "doubts": doubts,
        "strata": {
            name: {level: {"cases": n, "failed": failed} for level, (n, failed) in sorted(levels.items())}
            for name, levels in tally.strata.items()
            if name not in judged.more
        },
        **judged.more,
        "failures": [{name: str(word)[:_WORDS] for name, word in each.items()} for each in judged.failures[:_SHOWN]],
        "again": f"python -m kd2m_theory.validation.evidence --only {suite.name} --case BLOCK:ITEM",
        "seed": SEED,
        "seconds": round(sum(block.seconds for block in wanted), 1),
        "version": part.store.origin["version"],
        "numbers": part.store.origin["numbers"],
        "code": part.store.origin["code"],
        "environment": {"python": platform.python_version(), "machine": platform.machine(), **_versions()},
        "date": today or datetime.now(UTC).date().isoformat(),
    }


def write(folder: Path, found: Mapping[str, Any]) -> Path:
    """Write a table, atomically.

    Raises:
        InputError: nothing can be written there.
    """
    path = folder / file_name(found["suite"])
    write_atomically(path, (json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return path


def read(path: Path) -> dict[str, Any]:
    """A table that `write` wrote.

    Raises:
        InputError: the file is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path} is not a table of evidence ({type(error).__name__}); write it with make evidence") from None
    wrong = "schema" if not isinstance(found, dict) or found.get("schema") != SCHEMA else ""
    wrong = wrong or next((name for name, kind in _KINDS.items() if not isinstance(found.get(name), kind)), "")
    if wrong:
        raise InputError(f"{path} is not a table of evidence ({wrong} is not as it should be); write it with make evidence")
    return dict(found)


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
