"""What a campaign found, as sections: of a page, or for the terminal."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from kd2m_theory.reporting.sections import Code, Line, Paragraph, Part, Section, Table, Tone, columns, paragraph
from kd2m_theory.validation.campaigns.correlation import Correlation
from kd2m_theory.validation.campaigns.findings import Findings
from kd2m_theory.validation.campaigns.gains import LEVEL, Gain, Learned, comparison, plus_minus
from kd2m_theory.validation.campaigns.table import Row
from kd2m_theory.validation.campaigns.tightness import comparable, largest_terms, spreads, tightest
from kd2m_theory.validation.campaigns.verdict import Cell
from kd2m_theory.words import number, outward


def sections(found: Findings, store: Path) -> list[Section]:
    """The verdict, violations, and what `details` has."""
    return [_verdict(found, store), *details(found)]


def details(found: Findings) -> list[Section]:
    """Gains, coverage, tightness and correlations, where the campaign has them: what a terminal shows before the verdict."""
    return [*_gains(found), *_coverage(found), *_tightness(found), *_correlation(found)]


def ending(found: Findings, store: Path, report: Path) -> Section:
    """The verdict in at most ten lines of 60 characters, with the commands and folders to go on with on lines of their own.

    Args:
        found: what the campaign found.
        store: folder of the campaign.
        report: folder of the report.
    """
    judged = found.judgement
    title, tone = _title(found)
    notes = [f"{found.points:,} audited pairs of {found.runs:,} runs, {len(found.objectives)} objectives"]
    if judged.checked:
        notes.append(f"{judged.checked:,} guaranteed rows compared: {len(judged.violations):,} violated")
    if judged.cells:
        notes.append(
            f"{len(judged.cells):,} claims about the population: {len(judged.invalid):,} guaranteed ones invalid; "
            f"broken intervals {'NOT all' if judged.missed else 'all'} caught"
        )
    commands = [f"report: {report / 'report.md'}"]
    if judged.violations:
        first = judged.violations[0]
        notes.append(f"VIOLATED: {first.name}: {number(first.lower)} ≤ {number(first.value)} ≤ {number(first.upper)} is false")
        commands.insert(0, f"kd2m audit {shlex.quote(str(store / first.file))}")
    parts: tuple[Part, ...] = (*map(paragraph, notes), Code("\n".join(commands), "sh"))
    return Section(title=f"VERDICT  {title}", parts=parts, tone=tone)


def _verdict(found: Findings, store: Path) -> Section:
    judged = found.judgement
    notes = [
        f"{found.points:,} audited pairs of {found.runs:,} runs; {judged.checked:,} guaranteed deterministic rows compared "
        f"with what was measured, {len(judged.violations)} violated.",
        f"Objectives: {', '.join(found.objectives) or 'none yet'}.",
        "No coverage study.",
        f"{'' if found.seconds is None else f'{found.seconds:,.0f} core-seconds; '}{found.environments}.",
    ]
    if judged.cells:
        notes[2] = (
            f"{len(judged.cells)} claims about the population, each tried {_span(judged.cells)} times: {len(judged.invalid)} "
            f"guaranteed ones invalid; {'a broken interval was NOT' if judged.missed else 'every broken interval was'} caught."
        )
    notes += [
        f"VIOLATED: {each.name}: {number(each.lower)} ≤ {number(each.value)} ≤ {number(each.upper)} does not hold for "
        f"{each.run} after epoch {each.epoch}."
        for each in judged.violations
    ]
    commands = tuple(dict.fromkeys(f"kd2m audit {shlex.quote(str(store / each.file))}" for each in judged.violations))
    title, tone = _title(found)
    next_steps = (Code("\n".join(commands), "sh"),) if commands else ()
    return Section(title=title, parts=(*map(_note, notes), *next_steps), tone=tone)


def _title(found: Findings) -> tuple[str, Tone]:
    judged = found.judgement
    if not judged.evidence:
        return "NOTHING WAS CHECKED: no guaranteed row was compared with a measured value, and no claim was tried", "alarm"
    if judged.failed:
        return "THE CAMPAIGN FAILED", "alarm"
    if found.missing:
        return f"no guaranteed bound is violated so far: {found.missing:,} tasks are missing", "strong"
    return "no guaranteed bound is violated", "strong"


def _note(words: str) -> Paragraph:
    return paragraph(words, tone="muted")


def _table_section(title: str, headings: Sequence[str], lines: Iterable[Sequence[str]], note: str) -> Section:
    """A table of words and, in all columns but the first, numbers, with a note below it."""
    table = Table(
        name=title, columns=columns(*headings, numeric=len(headings) - 1), lines=tuple(Line(tuple(cells)) for cells in lines)
    )
    return Section(title=title, parts=(table, _note(note)))


def _span(cells: Sequence[Cell]) -> str:
    trials = sorted({cell.trials for cell in cells})
    return f"{trials[0]:,}" if len(trials) == 1 else f"{trials[0]:,} to {trials[-1]:,}"


def _gains(found: Findings) -> Iterator[Section]:
    for setting in found.settings:
        compared = comparison(setting)
        if not compared.learned:
            continue
        lines = [(each.name, *_gained(each)) for each in compared.learned]
        if compared.alone is not None:
            alone = plus_minus(compared.alone.mean, compared.alone.half)
            lines.insert(0, ("none (λ = 0)", "", alone, f"{compared.alone.seeds}", *[""] * 3))
        if compared.teacher is not None:
            lines.insert(0, ("teacher", "", f"{compared.teacher:.2f}", *[""] * 4))
        note = (
            f"Test accuracy after the last epoch, mean over seeds ± half of a {100 * LEVEL:.0f} % interval (Student's t), and "
            "the gain over the student without a teacher of the same seed. λ is chosen on the validation images; * = at an end "
            "of its grid, so another one may be better. at once: half of an interval that holds together with those of all "
            "objectives in the table at all their λ (Bonferroni); it decides the last column. Seeds are what varies: teacher, "
            "training images and test images are the same for all."
        )
        if setting.missing:
            note += f" {setting.missing:,} tasks of the campaign are missing, so nothing is decided yet."
        title = f"accuracy in per cent, gain in points: {setting.name}, {setting.teacher} to {setting.student}"
        headings = ("objective", "λ", "accuracy", "seeds", "gain", "at once", "this is")
        yield _table_section(title, headings, lines, note)


def _gained(learned: Learned) -> tuple[str, ...]:
    gain, weight = learned.gain, learned.students.weight
    return (
        "" if weight is None else f"{weight:g}{' *' * learned.at_an_end}",
        plus_minus(learned.accuracy.mean, learned.accuracy.half),
        f"{learned.accuracy.seeds}",
        *(("", "", "") if gain is None else (plus_minus(gain.points.mean, gain.points.half, "+"), *_at_once(gain))),
    )


def _at_once(gain: Gain) -> tuple[str, str]:
    return "" if gain.at_once is None else f"± {gain.at_once:.2f}", gain.decision


def _coverage(found: Findings) -> Iterator[Section]:
    cells = found.judgement.cells
    for run in dict.fromkeys(cell.run for cell in cells):
        mine = sorted((cell for cell in cells if cell.run == run), key=lambda cell: (cell.delta, cell.n))
        bad = (*found.judgement.invalid, *found.judgement.missed)
        heads = columns("claim", "δ", "n", "wrong", "audits", "rate in", "verdict", "would notice", numeric=7)
        lines = tuple(Line(_claim(cell), tone="alarm" if cell in bad else "plain") for cell in mine)
        note = (
            "δ is how often a claim may be wrong: each by itself, and everything guaranteed in one audit together. All "
            "intervals of the rate hold together at 95 %. conservative: wrong less than a fifth as often as allowed; too few: "
            "not even audits without failure would show a rate below δ. * = only asymptotic, or broken on purpose. Two counts: "
            "the truth itself is known to an interval. would notice: claims with half the radius, or with none of it, are "
            "wrong more often than δ; nothing: a missing radius would not have been seen, so the cell proves nothing about it."
        )
        title = f"coverage: {run}"
        yield Section(title=title, parts=(Table(name=title, columns=heads, lines=lines), _note(note)))


def _claim(cell: Cell) -> tuple[str, ...]:
    return (
        f"{cell.name}{'' if cell.guaranteed else ' *'}",
        f"{cell.delta:g}",
        f"{cell.n:,}",
        f"{cell.certain}" if cell.certain == cell.possible else f"{cell.certain}–{cell.possible}",
        f"{cell.trials:,}",
        "[{:.3g}, {:.3g}] %".format(*outward(cell.lower, cell.upper, 100)),
        cell.verdict,
        cell.power,
    )


def _tightness(found: Findings) -> Iterator[Section]:
    rows = comparable(found.bounds)
    if not rows:
        return
    overall, terms = spreads(rows, lambda row: row["name"]), largest_terms(found.bounds)
    lines = []
    for name in dict.fromkeys(row["name"] for row in found.bounds):
        spread, term = overall.get(name), terms.get(name)
        if spread is None and term is None:
            continue
        ratios = ["–"] * 4
        if spread is not None:
            quartiles = spread.median, spread.quarter, spread.three_quarters
            ratios = [f"{spread.count:,}", *(number(quartile, 3) for quartile in quartiles)]
        largest = "–" if term is None else f"{term.term} ({100 * term.part:.0f} %)"
        lines.append((name, *ratios, largest))
    note = (
        "Guaranteed rows, ratio on the gap's side of zero; a gap of zero counts as ∞. Rows about the population have no "
        "measured gap to compare with. A quartile between two pairs is the larger. Largest term: the one that is largest on "
        "most pairs, with its median part of the bound."
    )
    headings = ("row", "pairs", "median", "quarter below", "three quarters below", "largest term")
    yield _table_section("bound / gap, by row", headings, lines, note)
    for gap in _GAP_WORDS:
        mine = [row for row in rows if row["target"] == gap]
        for words, key in _GROUPS if mine else ():
            # The untrained student belongs to no objective.
            yield _medians(mine if words == "epoch" else [row for row in mine if row["epoch"]], gap, words, key)


_GROUPS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("population", lambda row: str(row["population"])),
    ("objective", lambda row: str(row["objective"])),
    ("epoch", lambda row: f"{row['population']}, epoch {row['epoch']}"),
    ("λ", lambda row: str(row["objective"]) + ("" if row["weight"] is None else f" λ = {row['weight']:g}")),
)


def _medians(rows: Sequence[Row], gap: str, words: str, key: Callable[[Row], str]) -> Section:
    names = tightest(rows, gap)
    medians = spreads([row for row in rows if row["name"] in names], lambda row: (key(row), row["name"]))
    groups = {key(row): (row["population"], row["epoch"]) if words == "epoch" else key(row) for row in rows}
    lines = tuple(
        (group, *(number(medians[group, name].median, 3) if (group, name) in medians else "–" for name in names))
        for group in sorted(groups, key=lambda group: groups[group])
    )
    pairs = "" if words == "epoch" else " on trained pairs"
    note = f"Median ratio{pairs} of the tightest row of each theorem: {', '.join(names)}."
    headings = (words, *(name.split(".")[0] for name in names))
    return _table_section(f"bound / gap {_GAP_WORDS[gap]}, by {words}", headings, lines, note)


def _correlation(found: Findings) -> Iterator[Section]:
    for gap, last in dict.fromkeys((each.gap, each.last) for each in found.explained):
        mine = [each for each in found.explained if (each.gap, each.last) == (gap, last)]
        populations = sorted({name for each in mine for name in each.within})
        lines = tuple(
            (each.distance, *(in_words(each.within.get(name)) for name in populations), in_words(each.pooled, "they disagree"))
            for each in mine
        )
        note = (
            "Spearman's correlation with the measured gap within each population, with a 95 % interval over seeds (jackknife, "
            "Student's t); teachers, objectives and λ are as they are. All: the mean over populations, where they do not "
            "differ by Welch's test at 5 %."
        )
        title = f"which distance explains the gap {_GAP_WORDS[gap]}, {'last epoch' if last else 'all trained pairs'}"
        yield _table_section(title, ("distance", *populations, "all"), lines, note)
    if found.short_of_seeds:
        yield Section(title="", parts=(_note(without_correlation(found)),))


def without_correlation(found: Findings) -> str:
    """Which populations have too few seeds for a correlation, in a sentence."""
    named = ", ".join(f"{name} (has {count})" for name, count in found.short_of_seeds.items())
    return f"No correlation of distances with gaps: it needs at least three audited seeds of {named}."


def in_words(each: Correlation | None, missing: str = "–") -> str:
    """A correlation with its interval."""
    return missing if each is None else f"{each.value:+.2f} [{each.lower:+.2f}, {each.upper:+.2f}]".replace("-", "−")


_GAP_WORDS = {"gap": "with each network's own head", "gap_shared_head": "through the teacher's head"}
