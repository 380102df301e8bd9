"""`python -m kd2m_theory.validation.evidence`: run the suites within a budget, and write their tables.

A rerun continues where the last one stopped. Exit status: 0 if every suite is complete and held, 1 if a failure was found, 2 if
the input is at fault or the evidence is incomplete.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError
from kd2m_theory.files import make_folder
from kd2m_theory.validation.evidence.registry import NAMES, suites
from kd2m_theory.validation.evidence.runner import Progress, begun, run
from kd2m_theory.validation.evidence.suite import Suite
from kd2m_theory.validation.evidence.tables import file_name, read, table, write

# Failures that are named on the terminal; the table names more.
_NAMED = 3


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = _parser()
    try:
        chosen = parser.parse_args(arguments)
        parts = suites(chosen.only)
        if chosen.case is not None:
            return _rerun(parts, chosen.case)
        return _run(parts, chosen)
    except (InputError, OSError) as error:
        print(f"evidence: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _run(chosen: Sequence[Suite], asked: argparse.Namespace) -> int:
    if not 0 < asked.minutes < 1e6:
        raise InputError(f"--minutes is {asked.minutes:g}; give a positive number")
    whole(asked.workers, "--workers", 1)
    kept, tables = make_folder(asked.out), make_folder(asked.tables)
    parts = [begun(suite, kept, asked.again) for suite in chosen]
    ended = run(parts, asked.minutes, asked.workers, _say)
    found = [table(part) for part in parts]
    for each in found:
        print(_line(each))
        for failure in each["failures"][:_NAMED]:
            print(f"  case {failure['case']} failed; `--only {each['suite']} --case {failure['case']}` runs it again")
        if each["cases"] or each["blocks"]["lost"]:  # nothing at all does not replace a table
            more = _blocks_of(tables / file_name(each["suite"]))
            if more > each["blocks"]["done"]:  # a short run does not replace the table of a long one
                print(f"  {tables / file_name(each['suite'])} holds {more} blocks and stays")
            print(f"  written: {write(kept if more > each['blocks']['done'] else tables, each)}")
    if not ended:
        print("evidence: stopped; the same command continues", file=sys.stderr)
    if not all(each["held"] for each in found):
        return 1
    incomplete = [each["suite"] for each in found if not each["complete"]]
    if incomplete:
        print(f"evidence: {', '.join(incomplete)} incomplete; the same command continues", file=sys.stderr)
    return 2 if incomplete else 0


def _rerun(chosen: Sequence[Suite], case: str) -> int:
    numbers = re.fullmatch(r"(\d{1,9}):(\d{1,9})", case)
    if numbers is None or len(chosen) != 1:
        raise InputError(f"--case is {case!r}; give BLOCK:ITEM and the suite with --only, such as --only rows --case 17:203")
    suite = chosen[0]
    suite.warm_up()
    cases = suite.item(int(numbers[1]), int(numbers[2]))
    for each in cases:
        strata = ", ".join(f"{name} {level}" for name, level in each.strata.items())
        print(f"{'FAILED' if each.failure else 'held'}: {strata}{': ' if each.failure else ''}{each.failure}")
    print(f"{len(cases)} cases, {sum(bool(each.failure) for each in cases)} failed")
    return int(any(each.failure for each in cases))


def _blocks_of(path: Path) -> int:
    """Finished blocks of a table that is there; 0 if there is none, or one that cannot be read."""
    try:
        return int(read(path)["blocks"]["done"])
    except InputError:
        return 0


def _line(found: dict[str, Any]) -> str:
    blocks = found["blocks"]
    lost = f", {blocks['lost']} lost" if blocks["lost"] else ""
    doubts = "".join(f"\n  in doubt: {words}" for words in found["doubts"])
    return (
        f"{found['suite']}: {found['cases']:,} cases, {found['failed']:,} failures, {blocks['done']} of {blocks['wanted']} "
        f"blocks{lost}, {found['seconds']:,.0f} s of CPU{doubts}"
    )


def _say(parts: Sequence[Progress]) -> None:
    words = ", ".join(f"{part.suite.name} {len(part.blocks)}/{part.suite.blocks}" for part in parts)
    if sys.stderr.isatty():
        print(f"\r{words}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evidence", description="Run the suites of evidence and write their tables.")
    parser.add_argument("--minutes", type=float, default=60.0, help="budget of all suites together; 60 if not given")
    parser.add_argument("--only", metavar="SUITE", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("build/evidence"), help="folder for finished blocks; build/evidence")
    parser.add_argument("--tables", type=Path, default=Path("validation/benchmarks"), help="folder of the tables")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each; 2 if not given")
    parser.add_argument("--again", action="store_true", help="forget the blocks that are kept")
    parser.add_argument("--case", metavar="BLOCK:ITEM", help="run one case of the suite of --only again, and say what it shows")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
