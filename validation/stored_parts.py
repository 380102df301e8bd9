"""Parts of pages that are made of stored tables: a page may say nothing that its table does not.

docs/campaign.md reports the shipped campaigns, docs/quick-start.md the demonstration, docs/benchmarks.md the benchmarks, and
docs/evidence.md what `make evidence` found. `python -m kd2m_theory.validation.stored_parts PAGE…` fails if a page and its
tables differ; with `--write` it writes those parts.
"""

import argparse
import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kd2m_theory.errors import InputError
from kd2m_theory.files import write_atomically
from kd2m_theory.validation import benchmark_tables
from kd2m_theory.validation.campaigns import gains_part
from kd2m_theory.validation.campaigns import page_part as campaign_part
from kd2m_theory.validation.evidence import page_part as evidence_part
from kd2m_theory.validation.training import demo_table


@dataclass(frozen=True)
class Part:
    """A part of a page.

    Attributes:
        begin: the mark before it.
        end: the mark after it.
        made: the part with its marks, from a folder of tables (None: those of the package).
    """

    begin: str
    end: str
    made: Callable[[Path | None], str]


PARTS = (
    Part(campaign_part.BEGIN, campaign_part.END, campaign_part.block),
    Part(gains_part.BEGIN, gains_part.END, gains_part.block),
    Part(benchmark_tables.BEGIN, benchmark_tables.END, benchmark_tables.block),
    Part(evidence_part.BEGIN, evidence_part.END, evidence_part.block),
    Part(demo_table.BEGIN, demo_table.END, demo_table.block),
)


def replaced(page: str, tables: Path | None) -> str:
    """A page with every part that it has made again.

    Raises:
        InputError: it has no part, a part has no end, or a table is not there.
    """
    if not any(part.begin in page for part in PARTS):
        raise InputError(f"the page has no part that begins with {' or '.join(part.begin for part in PARTS)}")
    for part in PARTS:
        before, mark, rest = page.partition(part.begin)
        if mark:
            _, end, after = rest.partition(part.end)
            if not end:
                raise InputError(f"the page has no part between {part.begin} and {part.end}")
            page = before + part.made(tables) + after
    return page


def main(arguments: list[str] | None = None) -> int:
    """Compare or write; the exit status is 0 if pages and tables agree, 1 if not, 2 if there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="stored_parts", description="Numbers on pages against the tables they come from.")
    parser.add_argument("pages", type=Path, nargs="+", metavar="PAGE")
    parser.add_argument("--write", action="store_true", help="write them instead")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="DIR", help="folder of the stored tables; that of the package if not given"
    )
    parser.add_argument("--tables", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.tables is not None:
        print("stored_parts: --tables is deprecated and goes in 0.3; use --from", file=sys.stderr)
        if chosen.source is not None and chosen.source != chosen.tables:
            print(f"stored_parts: --from is {chosen.source} and --tables {chosen.tables}; give --from alone", file=sys.stderr)
            return 2
    tables = chosen.source or chosen.tables
    return max(_page(page, tables, chosen.write) for page in chosen.pages)


def _page(page: Path, tables: Path | None, write: bool) -> int:
    try:
        said = page.read_text(encoding="utf-8")
        true = replaced(said, tables)
        if write:
            write_atomically(page, true.encode())
            return 0
    except (InputError, OSError) as error:
        print(f"{page}: {error}", file=sys.stderr)
        return 2
    wrong = list(difflib.unified_diff(said.splitlines(), true.splitlines(), str(page), "the table", lineterm="", n=0))
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
