"""What docs/campaign.md says of the shipped campaign, made of its table."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD, findings_in
from kd2m_theory.words import number

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.findings import Findings
    from kd2m_theory.validation.campaigns.verdict import Cell

BEGIN, END = "<!-- campaign: made of its table -->", "<!-- end of campaign -->"
# Rows of the ladder that the page shows, all about one gap, and what it calls them.
_ROWS = {
    "T1.literal": "the paper's theorem as stated, without a guarantee",
    "T1.l2": "the same with its constants",
    "T2.cw2": "class-conditional W₂",
    "T2.head_aware": "transport in the norm that the head sees",
    "T5.curved": "slope and curvature of the loss",
}
_GAPS = {"gap": "each network with its own head", "gap_shared_head": "both through the teacher's head"}


def block(tables: Path | None) -> str:
    """What the page says about the campaign, between its two marks.

    Raises:
        InputError: the table is not there, or is not that of a campaign.
    """
    return written(findings_in(STANDARD.path(tables)))


def written(found: "Findings") -> str:
    """The same from a campaign's findings."""
    lines = [BEGIN, "", *_verdict(found), "", *_table(found), "", *_explained(found), "", END]
    return "\n".join(lines)


def _verdict(found: "Findings") -> list[str]:
    from kd2m_theory.validation.campaigns.claims import BROKEN

    judged = found.judgement
    guaranteed = Counter(cell.verdict for cell in judged.cells if cell.guaranteed)
    broken = [cell.verdict for cell in judged.cells if cell.name == BROKEN]
    asymptotic = [cell.verdict for cell in judged.cells if not cell.guaranteed and cell.name != BROKEN]
    trials = sorted({cell.trials for cell in judged.cells})
    wrong, rare, loose = guaranteed["invalid"], guaranteed["conservative"], asymptotic.count("invalid")
    return [
        f"- Bounds on the sample: {found.runs:,} runs, {found.points:,} audited pairs, {judged.checked:,} comparisons of a",
        f"  guaranteed bound with what was measured, **{len(judged.violations)} violated**.",
        *_wrapped(f"Objectives of these runs: {', '.join(f'`{name}`' for name in found.objectives)}."),
        *_wrapped(f"Pairs of the claims about the population: {'; '.join(dict.fromkeys(cell.run for cell in judged.cells))}."),
        f"- Claims about the population, each tried on {trials[0]:,} to {trials[-1]:,} fresh samples at each n and δ:",
        f"  of {guaranteed.total()} guaranteed ones **{wrong} are wrong more often than δ**; {rare} are wrong less than a",
        f"  fifth as often. Asymptotic ones: {loose} of {len(asymptotic)} are wrong too often. An interval of half the",
        f"  width was caught {broken.count('invalid')} times of {len(broken)}.",
        *_wrapped(_power([cell for cell in judged.cells if cell.guaranteed])),
    ]


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, 88, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _power(cells: "Sequence[Cell]") -> str:
    """What the counts would have noticed."""
    seen = Counter(cell.power for cell in cells)
    if seen["not tried"] == len(cells):
        return (
            "The claims were not tried without their radius, so these counts do not show that a missing radius would be seen."
        )
    return (
        f"Of these {len(cells)} counts, {seen['half the radius']} would have noticed that half of a radius is missing, "
        f"{seen['no radius']} more that all of it is, and {seen['nothing']} neither: these prove nothing about the radius."
    )


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
    from kd2m_theory.validation.campaigns.page import in_words, without_correlation

    yield "| which distance explains the gap after training: rank correlation | population | the three best | the last |"
    yield "|---|---|---|---|"
    populations = sorted({name for each in found.explained for name in each.within})
    for gap, words in _GAPS.items():
        for population in populations:
            mine = [each for each in found.explained if each.gap == gap and each.last and population in each.within]
            ranked = sorted(mine, key=lambda each: -each.within[population].value)
            cells = [f"{each.distance} {in_words(each.within[population])}" for each in ranked]
            if cells:
                yield f"| {words} | {population} | {', '.join(cells[:3])} | {cells[-1]} |"
    if found.short_of_seeds:
        yield ""
        yield without_correlation(found)
