"""What the page on evidence says of each suite, made of the tables that `make evidence` wrote."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kd2m_theory.validation.evidence.registry import NAMES
from kd2m_theory.validation.evidence.tables import file_name, read
from kd2m_theory.validation.stored_tables import StoredTable

BEGIN, END = "<!-- evidence: made of its tables -->", "<!-- end of evidence -->"
TABLES = tuple(StoredTable(file=file_name(name), command="make evidence", read=read) for name in NAMES)
# For each suite what its counts are listed by, all levels; and what else failures are listed by, only where there are any.
_LISTED = {
    "rows": ("family", "family of pairs", ("row",)),
    "transport": ("kind", "kind of problem", ("geometry", "weights")),
    "segments": ("family", "family of pairs of points", ("from", "classes")),
    "files": ("file", "file", ("damage",)),
    "coverage": ("order", "order of the sample in its file", ("claim", "law", "pair", "n", "delta")),
    "labels": ("order", "how the file came, and when one stopped", ("claim", "law", "n")),
    "sizes": ("size", "size of the audit", ("row", "part")),
}
_UNITS = {
    "coverage": "cells, each a claim on one population and pair at one n and δ",
    "labels": "cells, each one end on one population at one n",
}


def block(tables: Path | None) -> str:
    """The part of the page, between its two marks.

    Raises:
        InputError: a table is not there, or is none.
    """
    found = [table.read(table.path(tables)) for table in TABLES]
    lines = [BEGIN, "", *_summary(found), *(line for each in found for line in _suite(each)), END]
    return "\n".join(lines)


def _summary(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "| suite | one case | cases | failures | blocks | version, numbers | written |"
    yield "|---|---|--:|--:|--:|---|---|"
    for each in found:
        blocks = each["blocks"]
        done = f"{blocks['done']} of {blocks['wanted']}" + (f", {blocks['lost']} lost" if blocks["lost"] else "")
        yield (
            f"| [{each['suite']}](#{each['suite']}) | {each['case']} | {each['cases']:,} | **{each['failed']:,}** | {done} | "
            f"{each['version']}, {each['numbers']} | {each['date']} |"
        )
    yield ""


def _suite(table: Mapping[str, Any]) -> Iterator[str]:
    name = table["suite"]
    first, heading, others = _LISTED[name]
    yield f"## {name}"
    yield ""
    yield f"{table['claim']} Oracle: {table['oracle']}"
    yield ""
    yield from (f"In doubt: {words}.\n" for words in table["doubts"])
    unit = _UNITS.get(name, "cases")
    yield f"| {heading} | {unit} | failures |"
    yield "|---|--:|--:|"
    for level, counts in table["strata"].get(first, {}).items():
        yield f"| {level} | {counts['cases']:,} | {counts['failed']:,} |"
    yield ""
    for other in others:
        wrong = {level: counts for level, counts in table["strata"].get(other, {}).items() if counts["failed"]}
        if wrong:
            ranked = sorted(wrong.items(), key=lambda item: -item[1]["failed"])
            listed = ", ".join(f"{level} ({counts['failed']:,} of {counts['cases']:,})" for level, counts in ranked)
            yield f"Failures by {other}: {listed}."
            yield ""
    yield from _allowance(table)
    yield from _controls(table)
    if table["failures"]:
        example = table["failures"][0]
        words = example["failure"].replace("|", "\\|").replace("`", "'")
        about = ", ".join(f"{key} {value}" for key, value in example.items() if key not in ("failure", "case"))
        yield f"For example case {example['case']} ({about}): `{' '.join(words.split())}`."
        yield ""


def _allowance(table: Mapping[str, Any]) -> Iterator[str]:
    if "ends" in table["strata"]:
        allowed = table["strata"]["ends"]["need the allowance"]
        held = allowed["cases"] - allowed["failed"]
        yield f"Of the cases that held, {held:,} needed what the row allows for rounding of its target; the others hold alone."
        yield ""


def _controls(table: Mapping[str, Any]) -> Iterator[str]:
    """What each cell would have noticed, by claim and n."""
    if "noticed" not in table:
        return
    noticed = table["noticed"]
    cells = [each for of_claim in noticed.values() for each in of_claim.values()]
    half, whole, nothing = (sum(each[name] for each in cells) for name in ("half the radius", "no radius", "nothing"))
    yield (
        f"Of {half + whole + nothing:,} cells, each of at least {table['fewest_trials']:,} samples, {half:,} would have "
        f"noticed that half of a radius is missing, {whole:,} more that all of it is, and {nothing:,} neither: these prove "
        "nothing about the radius."
    )
    yield ""
    sizes = sorted({n for of_claim in noticed.values() for n in of_claim}, key=int)
    heads = " | ".join(f"n = {int(n):,}" for n in sizes)
    yield f"| cells that notice half a radius missing, or all of it, of how many | {heads} |"
    yield "|---" + "|--:" * len(sizes) + "|"
    for claim, of_claim in noticed.items():
        words = (_noticed(of_claim[n]) if n in of_claim else "–" for n in sizes)
        yield f"| {claim} | {' | '.join(words)} |"
    yield ""
    blind = [claim for claim, of_claim in noticed.items() if not any(_sum(each) for each in of_claim.values())]
    if blind:
        yield f"A missing radius would be seen in no cell of {', '.join(blind)}."
        yield ""
    if table["asymptotic_too_often"]:
        yield f"Asymptotic claims, which promise less, are wrong too often in {len(table['asymptotic_too_often']):,} cells."
        yield ""


def _sum(each: Mapping[str, int]) -> int:
    return each["half the radius"] + each["no radius"]


def _noticed(each: Mapping[str, int]) -> str:
    return f"{each['half the radius']}, {_sum(each)} of {sum(each.values())}"
