"""A stored audit read back: every field of its JSON checked before a report is made of it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from kd2m_theory.bounds import ROWS, Assumption, BoundResult
from kd2m_theory.bounds.breakdown import (
    TRANSPORT,
    Bin,
    Breakdown,
    By,
    Calibration,
    CarryingSample,
    ClassParts,
    Confusion,
    OtherClasses,
    Reliability,
    calibration,
)
from kd2m_theory.bounds.clipping import Clipping
from kd2m_theory.bounds.known import QUANTITIES, Known, Of, Quantity, as_stored, told
from kd2m_theory.bounds.result import INTERRUPTED, OUT_OF_TIME, WITHOUT_NUMBER, State
from kd2m_theory.bounds.rows.row import Row
from kd2m_theory.bounds.targets import MEASURED, SUBJECTS
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Enclosure
from kd2m_theory.estimators.enclosure import Unit
from kd2m_theory.files import read_json
from kd2m_theory.reporting.stored_breakdown import check_breakdown
from kd2m_theory.reporting.stored_table import JsonTable, confidence_of, differences, finding_of, short
from kd2m_theory.reporting.stored_values import check_clipping, check_measured
from kd2m_theory.version import __version__

SCHEMA = "kd2m-audit/4"
_THIRD = "kd2m-audit/3"  # without a breakdown
_FIRST = "kd2m-audit/2"  # of release 0.1.0: rows without a sentence and without `never_beats`, no clipping, no verdict
_ROUNDED = 1e-9  # relative
_STATUS = ("informative", "vacuous", *WITHOUT_NUMBER)
_SETTINGS = (
    "only",
    "rows",
    "stream",
    "align",
    "loss_bound",
    "head_lipschitz",
    "temperature",
    "vouch",
    "whole_cloud",
    "seconds",
    *QUANTITIES,
)
# Settings and fields that earlier versions had none of, with what stands for that.
_LATER: Mapping[str, Any] = {"rows": [], "stream": False, "seconds": None, **dict.fromkeys(map(str, QUANTITIES))}
# What may be left out of an audit for lack of memory.
_PARTS = ("measured", "clipping", "breakdown")


def read_audit(path: Path) -> dict[str, Any]:
    """The table of a stored audit.

    Raises:
        InputError: no file, too large, not JSON, not a table, or of an unknown schema; one line that names the file.
    """
    table = read_json(path, f"{path} is not an audit")
    schema = table.get("schema")
    if schema not in (SCHEMA, _THIRD, _FIRST):
        known = f"{SCHEMA}, {_THIRD} and {_FIRST}"
        raise InputError(f"{path} is not an audit (its schema is {short(schema)}; {known} can be read)")
    return table


def fields_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an `AuditReport`, by name, of a table that `read_audit` returned.

    A number that is not finite is null in JSON. What it was follows from its place: a missing side of an interval or of an
    applicable row is infinite, and so are `vacuous_from` of an applicable row and a row's details; the sides of a row that is
    not applicable are NaN.

    Raises:
        InputError: a field is missing, unknown, of the wrong type or out of range, or contradicts others; says which.
    """
    top = JsonTable(table, "")
    measured = {name: confidence_of(each) for name, each in top.table("measured").named(MEASURED)}
    delta, share = top.probability("delta"), top.probability("share")
    if share > delta:
        raise InputError("share exceeds delta")
    environment = top.table("environment").words()
    if "kd2m-theory" not in environment:
        raise InputError("environment has no version of kd2m-theory")
    rows = tuple(_row(each) for each in top.tables("rows"))
    ours = environment["kd2m-theory"] == __version__
    settings = _settings(top.table("settings"), table["schema"], ours)
    _check_rows(rows, settings, ours)
    classes = top.whole("classes", 2)
    clipping = None if table["schema"] == _FIRST or top.get("clipping") is None else _clipping(top.table("clipping"))
    n = top.whole("n", 1)
    groups = top.whole("groups", 2) if (ours or "groups" in table) and top.get("groups") is not None else None
    left_out = _left_out(top) if ours or "left_out" in table else {}
    check_measured(measured, () if "measured" in left_out else rows, delta, groups)
    if clipping is not None:
        bound = settings["loss_bound"]
        check_clipping(clipping, measured, 2 * math.log(classes) if bound is None else bound)
    parts = None if table["schema"] != SCHEMA or top.get("breakdown") is None else _breakdown(top.table("breakdown"))
    if parts is not None:
        if clipping is None and "clipping" not in left_out:
            raise InputError("breakdown is there and clipping is null: both need the logits of both networks")
        check_breakdown(parts, measured, rows, n, groups, classes)
    _check_stopped(rows, settings["seconds"])
    if ours:
        _check_words(rows, share, [quantity for quantity in QUANTITIES if "samples" in (settings[quantity] or {})])
    return {
        "measured": measured,
        "rows": rows,
        "clipping": clipping,
        "delta": delta,
        "share": share,
        "n": n,
        "groups": groups,
        "classes": classes,
        "provenance": top.table("provenance").words(),
        "settings": settings,
        "environment": environment,
        "seconds": top.size("seconds"),
        "warnings": tuple(finding_of(each) for each in top.tables("warnings")) if "warnings" in table else (),
        "breakdown": parts,
        "left_out": left_out,
    }


def check_derived(table: Mapping[str, Any], derived: Mapping[str, Any]) -> None:
    """Refuse a table that says something else than what follows from its rows.

    Args:
        table: as `read_audit` returned it.
        derived: of the report that was made of it.

    Raises:
        InputError: naming the first difference.
    """
    expected = dict(derived)
    if table["schema"] == _FIRST:
        del expected["verdict"]
    elif isinstance(table.get("verdict"), dict) and table["environment"]["kd2m-theory"] != __version__:
        # Another version may have said the same in other words.
        expected["verdict"] = table["verdict"] | {"violated": expected["verdict"]["violated"]}
        for mine, theirs in zip(table.get("warnings", ()), expected["warnings"], strict=True):
            theirs["sentence"] = mine["sentence"]
    expected["schema"] = table["schema"]
    if table["schema"] != SCHEMA:
        del expected["breakdown"]
    found = {"warnings": [], **table}  # audits from before there were any
    filled_in = ("sentence", "never_beats")
    found["rows"] = [
        {key: row[key] for key in filled_in} | mine for mine, row in zip(table["rows"], expected["rows"], strict=True)
    ]
    if table["schema"] == _FIRST:
        del expected["clipping"]
        found["measured"] = {
            name: {"least": expected["measured"][name]["least"], "most": expected["measured"][name]["most"]} | mine
            for name, mine in table["measured"].items()
        }
    if table["schema"] == _FIRST or table["environment"]["kd2m-theory"] != __version__:  # earlier versions had none of these
        found = {"groups": None, "left_out": {}, "machine_dependent": expected["machine_dependent"]} | found
        found["settings"] = {**_LATER, **table["settings"]}
    difference = next(differences(found, expected, ""), None)
    if difference is not None:
        raise InputError(difference)


def _clipping(table: JsonTable) -> Clipping:
    bound = table.number("bound", lambda value: value > 0, "a finite number > 0")
    shares = {f"share_{which}": table.number_or_none(f"share_{which}", 1.0) for which in ("student", "teacher", "any_class")}
    risks = {f"risk_{whose}": table.number_or_none(f"risk_{whose}", bound * (1 + _ROUNDED)) for whose in ("student", "teacher")}
    return Clipping(bound=bound, **shares, **risks)


def _breakdown(table: JsonTable) -> Breakdown:
    names = table.table("names").words()
    reliability = None if table.get("reliability") is None else table.table("reliability")
    other = None if table.get("other_classes") is None else table.table("other_classes")
    return Breakdown(
        by=table.choice("by", get_args(By)),
        names=names,
        classes=tuple(
            ClassParts(
                **_parts(each), label=each.whole("label", 0), name=None if each.get("name") is None else each.text("name")
            )
            for each in table.tables("classes")
        ),
        other_classes=None if other is None else OtherClasses(**_parts(other), classes=other.whole("classes", 1)),
        transport_row=None if table.get("transport_row") is None else table.choice("transport_row", TRANSPORT),
        added=None if table.get("added") is None else table.whole("added", 0),
        removed=None if table.get("removed") is None else table.whole("removed", 0),
        confusions=tuple(
            Confusion(each.whole("label", 0), each.whole("predicted", 0), each.whole("samples", 1))
            for each in table.tables("confusions")
        ),
        confusions_left_out=table.whole("confusions_left_out", 0),
        samples=tuple(
            CarryingSample(
                **{key: each.whole(key, 0) for key in ("index", "label", "teacher", "student")},
                loss_teacher=each.size("loss_teacher"),
                loss_student=each.size("loss_student"),
                gap=each.number("gap"),
            )
            for each in table.tables("samples")
        ),
        samples_left_out=table.whole("samples_left_out", 0),
        reliability=None
        if reliability is None
        else Reliability(_calibration(reliability.table("student")), _calibration(reliability.table("teacher"))),
    )


def _parts(table: JsonTable) -> dict[str, Any]:
    found: dict[str, Any] = {"samples": table.whole("samples", 1)}
    for key in ("gap", "error_gap", "disagreement", "transport"):
        found[key] = None if table.get(key) is None else table.number(key)
    return found


def _calibration(table: JsonTable) -> Calibration:
    """The calibration of the bins; error and excess that the file has are compared with it later, as all derived values are."""
    bins = tuple(
        Bin(
            confidence=each.probability("confidence"),
            accuracy=each.number("accuracy", lambda value: 0 <= value <= 1, "a number from 0 to 1"),
            samples=each.whole("samples", 1),
            share=each.probability("share"),
        )
        for each in table.tables("bins")
    )
    return calibration(bins)


def _enclosure(table: JsonTable) -> Enclosure:
    lower, upper = table.number_or("lower", -math.inf), table.number_or("upper", math.inf)
    if lower > upper:
        raise InputError(f"{table.at('lower')} exceeds {table.at('upper')}")
    return Enclosure(
        lower=lower,
        upper=upper,
        unit=table.choice("unit", get_args(Unit)),
        method=table.text("method"),
        capped=table.truth("capped"),
    )


def _row(table: JsonTable) -> BoundResult:
    name = table.text("name")
    applicable = table.choice("status", _STATUS) not in WITHOUT_NUMBER
    if not applicable:
        for key in ("lower", "upper", "measured", "vacuous_from"):
            table.null(key)
    return BoundResult(
        name=name,
        sentence=table.text("sentence") if "sentence" in table.found else _known(table, name).sentence,
        statement=table.text("statement"),
        source=table.text("source"),
        target=table.choice("target", tuple(SUBJECTS)),
        lower=table.number_or("lower", -math.inf) if applicable else math.nan,
        upper=table.number_or("upper", math.inf) if applicable else math.nan,
        measured=None if table.get("measured") is None else table.number("measured"),
        rounding=table.size("rounding"),
        vacuous_from=table.number_or("vacuous_from", math.inf) if applicable else math.nan,
        assumptions=tuple(
            Assumption(name=each.text("name"), state=each.choice("state", get_args(State)), evidence=each.text("evidence"))
            for each in table.tables("assumptions")
        ),
        status=table.choice("status", _STATUS),
        why=table.text("why"),
        seconds=table.size("seconds"),
        level=None if table.get("level") is None else table.probability("level"),
        never_beats=_never_beats(table, name),
        distances={key: _enclosure(each) for key, each in table.table("distances").named()},
        details={key: table.table("details").number_or(key, math.inf) for key in table.table("details").found},
    )


def _known(table: JsonTable, name: str) -> Row:
    """The row of this version that was stored without all of its words."""
    for row in ROWS:
        if row.name == name:
            return row
    raise InputError(f"{table.at('name')} is {short(name)}, and there is no such row")


def _never_beats(table: JsonTable, name: str) -> str | None:
    if "never_beats" not in table.found:
        return _known(table, name).never_beats
    return None if table.get("never_beats") is None else table.text("never_beats")


def _settings(table: JsonTable, schema: str, ours: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _SETTINGS:
        if key in QUANTITIES:
            found[key] = _told(table, key) if ours or key in table.found else None
            continue
        earlier = schema == _FIRST or not ours
        value = _LATER[key] if earlier and key in _LATER and key not in table.found else table.get(key)
        if key in ("only", "rows", "vouch"):
            if not (key == "only" and value is None) and not _is_list_of_text(value):
                raise table.refuse(key, "a list of text")
            found[key] = value
        elif key in ("stream", "align"):
            found[key] = table.truth(key) if key in table.found else value
        elif key == "whole_cloud":
            found[key] = None if value is None else table.truth(key)
        else:
            found[key] = None if value is None else table.size(key)
    return found


def _told(table: JsonTable, key: Quantity) -> dict[str, Any] | None:
    """What was known of the teacher, as it is stored; an evaluation is known by its size alone."""
    if table.get(key) is None:
        return None
    inner = table.table(key)
    if "samples" in inner.found:
        return {"samples": inner.whole("samples", 2)}
    value, about = inner.get("value"), inner.choice("about", get_args(Of))
    try:
        if isinstance(value, dict):
            value = {int(label) if label.isdecimal() else label: ends for label, ends in value.items()}
        found = as_stored(told(Known(value, about), key))
    except InputError as error:
        raise InputError(f"{table.at(key)}: {error}") from None
    return None if found is None else dict(found)


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _check_words(rows: Sequence[BoundResult], share: float, evaluated: Sequence[str]) -> None:
    """Refuse rows of this version that say something else than it says, or at another level.

    Args:
        rows: the ladder.
        share: of δ that each limit has.
        evaluated: what is known of the teacher from evaluations of it.
    """
    known = {row.name: row for row in ROWS}
    for row in rows:
        if row.name in known:
            mine = known[row.name]
            for word in ("sentence", "statement", "source", "target", "never_beats"):
                if getattr(row, word) != getattr(mine, word):
                    raise InputError(f"the {word} of row {row.name} is not that of this version")
            requirements = {need.name for need in mine.requirements}
            other = next((each.name for each in row.assumptions if each.name not in requirements), None)
            if other is not None:
                raise InputError(f"row {row.name} assumes {short(other)}, which it does not need")
            level = 1 - len(mine.reads(evaluated)) * share if mine.limits and row.applicable else None
            if row.level != level:
                raise InputError(f"the level of row {row.name} is {short(row.level)}, but {short(level)} follows from share")


def _left_out(top: JsonTable) -> dict[str, str]:
    """What could not be computed, and why: nothing that is there."""
    found = top.table("left_out").words()
    for part in found:
        if part not in _PARTS:
            raise InputError(f"left_out has {short(part)}, which is none of {', '.join(_PARTS)}")
        if top.get(part):
            raise InputError(f"left_out has {part}, and {part} is there")
    return found


def _check_stopped(rows: Sequence[BoundResult], seconds: float | None) -> None:
    """Refuse rows that were not computed for another reason than there can be, or for two."""
    reasons = {row.why for row in rows if row.status == "not computed"}
    known = {INTERRUPTED} if seconds is None else {INTERRUPTED, OUT_OF_TIME}
    if not reasons <= known or len(reasons) > 1:
        raise InputError(f"rows were not computed because {short(sorted(reasons))}, and no audit ends so")


def _check_rows(rows: Sequence[BoundResult], settings: Mapping[str, Any], ours: bool) -> None:
    """Refuse rows that are there twice, that were asked for and are not there, or that disagree about what was measured."""
    names = [row.name for row in rows]
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise InputError(f"row {short(twice)} is there twice")
    only: Sequence[str] | None = settings["only"]
    shipped = [row.name for row in ROWS]
    if ours and not {*names} <= {*shipped, *settings["rows"]}:
        strange = next(name for name in names if name not in {*shipped, *settings["rows"]})
        raise InputError(f"row {short(strange)} is neither of this package nor one of settings.rows")
    if not {*settings["rows"]} <= {*names}:
        raise InputError(f"settings.rows are {short(settings['rows'])}, and not all of them are rows of the audit")
    if ours and (taken := next((name for name in settings["rows"] if name in shipped), None)):
        raise InputError(f"settings.rows names {taken}, which is a row of this package")
    if only is None and ours:  # another version may have had other rows
        only = [*shipped, *settings["rows"]]
    if only is not None and names != only:
        raise InputError(f"rows are {short(names)}, not those that the audit computed, {short(list(only))}")
    seen: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        if row.applicable:
            value = row.measured, row.rounding, row.vacuous_from
            if seen.setdefault(row.target, value) != value:
                raise InputError(f"row {short(row.name)} has another measured value than other rows about {row.target}")
