"""Parts of pages that are made of stored tables: a page may say nothing that its table does not.

README reports the shipped campaign, docs/evidence.md what `make evidence` found. `python -m
kd2m_theory.paper_figures.readme_table README.md docs/evidence.md` fails if they differ; with `--write` it writes those parts.
"""

import argparse
import difflib
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kd2m_theory.errors import InputError
from kd2m_theory.files import write_atomically
from kd2m_theory.paper_figures import evidence_part
from kd2m_theory.paper_figures.campaign_table import STANDARD, findings_in
from kd2m_theory.report import number

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.correlation import Explained
    from kd2m_theory.validation.campaigns.findings import Findings

BEGIN, END = "<!-- campaign: made of its table -->", "<!-- end of campaign -->"
# Rows of the ladder that README shows, all about one gap, and what it calls them.
_ROWS = {
    "T1.literal": "the paper's theorem as stated; it promises nothing",
    "T1.l2": "the same with its constants",
    "T2.cw2": "class-conditional W₂",
    "T2.head_aware": "transport in the norm that the head sees",
    "T5.curved": "slope and curvature of the loss",
}
_GAPS = {"gap": "each network with its own head", "gap_shared_head": "both through the teacher's head"}


def block(found: "Findings") -> str:
    """What README says about the campaign, between its two marks."""
    lines = [BEGIN, "", *_verdict(found), "", *_table(found), "", *_explained(found), "", END]
    return "\n".join(lines)


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
    Part(BEGIN, END, lambda tables: block(findings_in(STANDARD.path(tables)))),
    Part(evidence_part.BEGIN, evidence_part.END, evidence_part.block),
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


def _verdict(found: "Findings") -> list[str]:
    from kd2m_theory.validation.campaigns.audits_task import BROKEN

    judged = found.judgement
    guaranteed = Counter(cell.verdict for cell in judged.cells if cell.guaranteed)
    broken = [cell.verdict for cell in judged.cells if cell.name == BROKEN]
    asymptotic = [cell.verdict for cell in judged.cells if not cell.guaranteed and cell.name != BROKEN]
    trials = sorted({cell.trials for cell in judged.cells})
    wrong, rare, loose = guaranteed["invalid"], guaranteed["conservative"], asymptotic.count("invalid")
    return [
        f"- Bounds on the sample: {found.runs:,} runs, {found.points:,} audited pairs, {judged.checked:,} comparisons of a",
        f"  guaranteed bound with what was measured, **{len(judged.violations)} violated**.",
        *textwrap.wrap(
            f"Objectives of these runs: {', '.join(f'`{name}`' for name in found.objectives)}.",
            88,
            initial_indent="- ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        ),
        f"- Claims about the population, each tried on {trials[0]:,} to {trials[-1]:,} fresh samples at each n and δ:",
        f"  of {guaranteed.total()} guaranteed ones **{wrong} are wrong more often than δ**; {rare} are wrong less than a",
        f"  fifth as often. Asymptotic ones: {loose} of {len(asymptotic)} are wrong too often. An interval of half the",
        f"  width was caught {broken.count('invalid')} times of {len(broken)}.",
    ]


def _table(found: "Findings") -> list[str]:
    from kd2m_theory.validation.campaigns.tightness import spreads

    populations = sorted({row["population"] for row in found.bounds})
    last = {row["configuration"]: 0 for row in found.bounds}
    for row in found.bounds:
        last[row["configuration"]] = max(last[row["configuration"]], row["epoch"])
    shown = [
        row
        for row in found.bounds
        if row["name"] in _ROWS and row["ratio"] is not None and row["epoch"] == last[row["configuration"]]
    ]
    medians = spreads(shown, lambda row: (row["name"], row["population"]))
    lines = [
        f"| bound / gap through the teacher's head after training: median (quartiles) | {' | '.join(populations)} |",
        "|---" + "|--:" * len(populations) + "|",
    ]
    for name, words in _ROWS.items():
        cells = []
        for population in populations:
            if (name, population) in medians:
                each = medians[name, population]
                cells.append(f"{number(each.median, 3)} ({number(each.quarter, 3)}–{number(each.three_quarters, 3)})")
            else:
                cells.append("–")
        lines.append(f"| `{name}`, {words} | {' | '.join(cells)} |")
    return lines


def _explained(found: "Findings") -> Iterator[str]:
    yield "| which distance explains the gap after training: rank correlation | the three best | the last |"
    yield "|---|---|---|"
    for gap, words in _GAPS.items():
        ranked = [each for each in found.explained if each.gap == gap and each.last]
        ranked.sort(key=lambda each: each.value, reverse=True)
        if ranked:
            yield f"| {words} | {', '.join(map(_correlation, ranked[:3]))} | {_correlation(ranked[-1])} |"


def _correlation(each: "Explained") -> str:
    return f"{each.distance} {each.value:+.2f} [{each.lower:+.2f}, {each.upper:+.2f}]".replace("-", "−")


def main(arguments: list[str] | None = None) -> int:
    """Compare or write; the exit status is 0 if pages and tables agree, 1 if not, 2 if there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="readme_table", description="Numbers on pages against the tables they come from.")
    parser.add_argument("pages", type=Path, nargs="+", metavar="PAGE")
    parser.add_argument("--write", action="store_true", help="write them instead")
    parser.add_argument("--tables", type=Path, help="folder of the tables; that of the package if not given")
    chosen = parser.parse_args(arguments)
    return max(_page(page, chosen.tables, chosen.write) for page in chosen.pages)


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
