"""An audit as JSON: written, read back equal in every field, and believed in nothing that does not follow from its rows."""

import copy
import dataclasses
import json
import math
import re
from importlib.resources import files
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_schema import faults
from reports import CASES, report_of
from rich.cells import cell_len

from kd2m_theory import AuditReport, InputError, Pair, audit
from kd2m_theory.bounds import ROWS, Assumption, BoundResult
from kd2m_theory.bounds.breakdown import (
    Bin,
    Breakdown,
    Calibration,
    CarryingSample,
    ClassParts,
    Confusion,
    OtherClasses,
    Reliability,
)
from kd2m_theory.bounds.clipping import Clipping
from kd2m_theory.bounds.targets import MEASURED, SUBJECTS, Target
from kd2m_theory.estimators import Confidence, Enclosure
from kd2m_theory.plausibility import KINDS, Finding
from kd2m_theory.reporting.verdict import Comparison, Verdict
from kd2m_theory.version import __version__
from kd2m_theory.words import number, rounded_up

SCHEMA = json.loads(files("kd2m_theory.reporting").joinpath("audit.schema.json").read_text(encoding="utf-8"))


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return AuditReport.from_json(path)


def read_or_refusal(path, text):
    try:
        return read(path, text)
    except InputError as error:
        return str(error)


def same(one, other):
    """Equality of reports in which NaN is equal to itself, and True is not 1."""
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return type(one) is type(other) and all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@pytest.mark.parametrize("case", CASES)
def test_a_report_is_read_back_as_it_was_written(case, tmp_path):
    report = report_of(case)
    report.to_json(tmp_path / "r.json")
    again = AuditReport.from_json(tmp_path / "r.json")
    assert same(report, again)
    assert same(report.verdict, again.verdict)
    again.to_json(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "r.json").read_bytes()
    assert str(again) == str(report)


@pytest.mark.parametrize("relative", [1e-7, 1e-5, 3e-4])  # float32 to TF32
def test_a_report_of_a_network_in_single_precision_is_read_back(relative, tmp_path):
    """Its logits are not what the head makes of its features in float64, and no field contradicts another for that."""
    rng = np.random.default_rng(0)
    for scale in (1.0, 30.0):
        features, weight = rng.normal(size=(2, 80, 6)) * scale, rng.normal(size=(4, 6))
        made = [z @ weight.T for z in features]
        teacher, student = (a + relative * np.abs(a).max() * rng.uniform(-1, 1, a.shape) for a in made)
        labels = rng.integers(0, 4, 80)
        report = audit(Pair(*features, labels, teacher, student, weight), only=["T0", "T5", "T1.l2", "F1.gap"])
        report.to_json(tmp_path / "r.json")
        assert same(report, AuditReport.from_json(tmp_path / "r.json"))


@pytest.mark.parametrize("case", CASES)
def test_every_file_is_what_the_schema_says(case):
    record = json.loads(json.dumps(report_of(case).to_dict(), allow_nan=False))
    assert not list(faults(record, SCHEMA))
    assert list(faults(record | {"more": 1}, SCHEMA)) == ["$ has 'more'"]
    assert list(faults(record | {"n": True}, SCHEMA)) == ["$.n is True, not integer"]


RECORDS = (
    ("confidence", Confidence),
    ("enclosure", Enclosure),
    ("assumption", Assumption),
    ("clipping", Clipping),
    ("comparison", Comparison),
    ("verdict", Verdict),
    ("breakdown", Breakdown),
    ("class", ClassParts),
    ("other_classes", OtherClasses),
    ("confusion", Confusion),
    ("sample", CarryingSample),
    ("reliability", Reliability),
    ("calibration", Calibration),
    ("bin", Bin),
)


def test_the_schema_knows_every_field_and_every_word():
    rows, measured = SCHEMA["$defs"]["row"]["properties"], SCHEMA["properties"]["measured"]["properties"]
    derived = {"direction", "guaranteed", "assumed", "holds", "slack", "ratio"}
    assert set(rows) == {field.name for field in dataclasses.fields(BoundResult)} | derived
    assert rows["target"]["enum"] == list(get_args(Target))
    assert list(measured) == list(MEASURED)
    top = {field.name for field in dataclasses.fields(AuditReport)}
    assert set(SCHEMA["properties"]) == top | {"schema", "violations", "machine_dependent", "verdict"}
    assert SCHEMA["$defs"]["warning"]["properties"]["key"]["enum"] == list(KINDS)
    for name, kind in RECORDS:
        assert list(SCHEMA["$defs"][name]["properties"]) == [field.name for field in dataclasses.fields(kind)]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
SIZES = st.floats(0, 1e6)
# What UTF-8 can write.
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS, max_size=12)
NAMES = st.text(CHARACTERS, max_size=8)
SHARES = st.floats(1e-9, 0.5)


@st.composite
def intervals(draw):
    lower, upper = sorted((draw(FINITE | st.just(-math.inf)), draw(FINITE | st.just(math.inf))))
    return (lower, upper) if lower < math.inf and upper > -math.inf else (-math.inf, math.inf)


SHARED = ("accuracy_teacher", "accuracy_student", "error_gap", "disagreement")


@st.composite
def confidences(draw, name, value, delta):
    """An interval around a value, at least at the level of everything together, as one of that name can be."""
    lower = draw(st.just(-math.inf) | st.just(value) | st.floats(-1e9, 0).map(value.__add__))
    upper = draw(st.just(math.inf) | st.just(value) | st.floats(0, 1e9).map(value.__add__))
    return Confidence(
        value=value,
        lower=lower,
        upper=upper,
        level=1 - delta * draw(st.floats(0.01, 1.0)),
        unit="probability" if name in SHARED else "nats",
        method=draw(TEXT),
        guaranteed=name in SHARED and draw(st.booleans()),
        assumptions=draw(TEXT),
    )


@st.composite
def measurements(draw):
    """Values that fit one another, of an audit with or without labels, and with or without features."""
    found = {}
    if draw(st.booleans()):
        student, teacher, shared = (draw(st.floats(0, 1e100)) for _ in range(3))
        found = {"risk_teacher": teacher, "risk_student": student, "gap": student - teacher}
        if draw(st.booleans()):
            mismatch = student - shared
            found |= {"risk_student_shared_head": shared, "gap_shared_head": shared - teacher, "head_mismatch": mismatch}
        accuracies = [draw(st.floats(0, 1)) for _ in range(2)]
        gap = accuracies[0] - accuracies[1]
        found |= {"accuracy_teacher": accuracies[0], "accuracy_student": accuracies[1], "error_gap": gap}
    if draw(st.booleans()):
        found["disagreement"] = max(draw(st.floats(0, 1)), abs(found.get("error_gap", 0.0)))
    return found


@st.composite
def clippings(draw, found, bound):
    if draw(st.booleans()):
        return None
    if "risk_student" not in found:
        return Clipping(bound, None, None, draw(st.none() | st.floats(0, 1)), None, None)
    shares = [draw(st.floats(0, 1)) * min(1.0, found[f"risk_{who}"] / bound) for who in ("student", "teacher")]
    risks = [
        min(bound, found[f"risk_{who}"]) if share > 0 else found[f"risk_{who}"]
        for share, who in zip(shares, ("student", "teacher"), strict=True)
    ]
    if any(risk > bound for risk in risks):  # more than the bound, and nothing clipped
        return None
    return Clipping(bound, *shares, draw(st.none() | st.just(max(shares))), *risks)


@st.composite
def enclosures(draw):
    lower, upper = draw(intervals())
    unit = draw(st.sampled_from(["distance", "squared distance", "nats", "squared nats"]))
    return Enclosure(lower, upper, unit, draw(TEXT), draw(st.booleans()))


@st.composite
def rows(draw, name, values):
    applicable = draw(st.booleans())
    target = draw(st.sampled_from(list(SUBJECTS)))
    measured, rounding, vacuous_from = values[target] if applicable else (None, 0.0, math.nan)
    lower, upper = draw(intervals()) if applicable else (math.nan, math.nan)
    states = st.sampled_from(["met", "vouched", "unmet"])
    return BoundResult(
        name=name,
        sentence=draw(TEXT),
        statement=draw(TEXT),
        source=draw(TEXT),
        target=target,
        lower=lower,
        upper=upper,
        measured=measured,
        rounding=rounding,
        vacuous_from=vacuous_from,
        assumptions=tuple(draw(st.lists(st.builds(Assumption, name=NAMES, state=states, evidence=TEXT), max_size=2))),
        status=draw(st.sampled_from(["informative", "vacuous"])) if applicable else "not applicable",
        why=draw(TEXT),
        seconds=draw(SIZES),
        level=draw(st.none() | SHARES),
        never_beats=draw(st.none() | NAMES),
        distances=draw(st.dictionaries(NAMES, enclosures(), max_size=1)),
        details=draw(st.dictionaries(NAMES, FINITE | st.just(math.inf), max_size=1)),
    )


ENDS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
KNOWN = st.builds(lambda n: {"samples": n}, st.integers(2, 2**62)) | st.builds(
    lambda value, about: {"value": value, "about": about},
    ENDS
    | st.dictionaries(st.integers(0, 99).map(str), ENDS, min_size=1, max_size=3).map(
        lambda ends: dict(sorted(ends.items(), key=lambda each: int(each[0])))
    ),
    st.sampled_from(["sample", "population"]),
)


@st.composite
def drawn_reports(draw):
    """Reports whose numbers and words may be anything that a row can have, and fit together as those of one audit do."""
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    delta, classes = draw(SHARES), draw(st.integers(2, 10**6))
    loss_bound = draw(st.none() | st.floats(1e-6, 1e6))
    version = draw(st.sampled_from([__version__, "9.9"]))
    found = draw(measurements())
    told = {name: found.get(name) for name in ("gap", "gap_shared_head", "error_gap")}
    told["error_student"] = 1 - found["accuracy_student"] if "accuracy_student" in found else None
    values = {
        target: (told[target] if target in told else draw(st.none() | FINITE), draw(SIZES), draw(FINITE | st.just(math.inf)))
        for target in SUBJECTS
    }
    return AuditReport(
        measured={name: draw(confidences(name, value, delta)) for name, value in found.items()},
        rows=tuple(draw(rows(name, values)) for name in names),
        clipping=draw(clippings(found, 2 * math.log(classes) if loss_bound is None else loss_bound)),
        delta=delta,
        share=delta * draw(st.floats(0.01, 1.0)),
        n=draw(st.integers(1, 2**62)),
        groups=draw(st.none() | st.integers(2, 2**62)),
        classes=classes,
        provenance=draw(st.dictionaries(NAMES, TEXT, max_size=2)),
        settings={
            "only": names,
            "rows": names if version == __version__ else [],  # this version has no rows of such names
            "stream": draw(st.booleans()),
            "align": draw(st.booleans()),
            "loss_bound": loss_bound,
            "head_lipschitz": draw(st.none() | SIZES),
            "temperature": draw(st.none() | SIZES),
            "vouch": draw(st.lists(TEXT, max_size=2)),
            "whole_cloud": draw(st.none() | st.booleans()),
            "seconds": draw(st.none() | st.floats(1e-3, 1e6)),
            "teacher_risk": draw(st.none() | KNOWN),
            "teacher_error": draw(st.none() | KNOWN),
        },
        environment={"kd2m-theory": version},
        seconds=draw(SIZES),
        warnings=tuple(draw(st.lists(warnings(), max_size=2))),
    )


@st.composite
def warnings(draw):
    key = draw(st.sampled_from(sorted(KINDS)))
    return Finding(key, {name: draw(st.floats(-1, 1) | st.integers(0, 10**9).map(float)) for name in KINDS[key][0]})


@settings(max_examples=10)
@given(report=drawn_reports())
def test_any_report_is_read_back_equal_and_can_be_shown(report, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "drawn.json"
    report.to_json(path)
    again = AuditReport.from_json(path)
    assert same(report, again)
    assert not list(faults(json.loads(path.read_text(encoding="utf-8")), SCHEMA))
    assert again.table()
    assert again._repr_html_()
    again.to_html(path.with_suffix(".html"))


def places(value, place=()):
    """Every place in a JSON value."""
    yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*place, key))


RECORD = json.loads(json.dumps(report_of("one row").to_dict() | {"provenance": {"teacher": "drawn"}}))
PLACES = [place for place in places(RECORD) if place]
REMOVED = object()
WRONG = st.sampled_from(
    [REMOVED, None, True, False, 0, 1, -1, 2.5, 1e308, 10**400, math.nan, math.inf, "", "0.5", "met", [], ["T0"], {}, {"T0": 1}]
)


@settings(max_examples=300)
@given(place=st.sampled_from(PLACES), value=WRONG)
def test_a_changed_file_is_refused_in_one_line_or_read_to_a_report_that_is_what_it_says(place, value, tmp_path_factory):
    record = copy.deepcopy(RECORD)
    inside = record
    for key in place[:-1]:
        inside = inside[key]
    if value is REMOVED:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    path = tmp_path_factory.getbasetemp() / "changed.json"
    report = read_or_refusal(path, json.dumps(record))
    if isinstance(report, str):
        assert report.startswith(str(path))
        assert "\n" not in report
        assert len(report) < len(str(path)) + 400
    else:
        again = json.loads(json.dumps(report.to_dict()))
        if place[-1] not in ("sentence", "never_beats"):  # which are filled in
            assert again == record
        assert report.table()
        report.to_html(path.with_suffix(".html"))


def edited(case, change):
    record = copy.deepcopy(report_of(case).to_dict())
    change(record)
    return json.dumps(record)


def _emptied(record):
    record["violations"] = []


def _acquitted(record):
    record["violations"] = []
    record["verdict"] = report_of("plain").to_dict()["verdict"]


def _declared_to_hold(record):
    _acquitted(record)
    for row in record["rows"]:
        row["holds"] = row["holds"] is not None or None


def _excused(record):
    _acquitted(record)
    for row in record["rows"]:
        if row["name"] == "T0.error":
            row["status"] = "not applicable"


def _without_the_row(record):
    _acquitted(record)
    record["rows"] = [row for row in record["rows"] if row["name"] != "T0.error"]


def _remeasured(record):
    _acquitted(record)
    for row in record["rows"]:
        if row["name"] == "T0.error":
            row |= {"measured": -0.6, "holds": True, "slack": 0.1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_emptied, 'violations is [], but ["T0.error"] follows from the rest'),
        (_acquitted, "violations is [], but"),
        (_declared_to_hold, "violations is [], but"),
        (_excused, ".lower is -1.0, not null, as the row has no number"),
        (_without_the_row, "not those that the audit computed"),
        (_remeasured, 'row "T7.prediction" has another measured value than other rows about error_gap'),
        (lambda record: record["verdict"].update(violated=False), "verdict.violated is false, but true follows from the rest"),
        (lambda record: record["verdict"].update(headline="All is well."), 'verdict.headline is "All is well.", but'),
    ],
)
def test_a_violation_cannot_be_edited_away(change, words, tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path / "r.json", edited("violated", change))
    assert words in str(caught.value)
    assert AuditReport.from_json(_written(tmp_path)).verdict.violated


def _written(folder):
    report_of("violated").to_json(folder / "whole.json")
    return folder / "whole.json"


def test_another_version_may_say_its_verdict_in_other_words_but_not_another_verdict(tmp_path):
    def older(record):
        record["environment"]["kd2m-theory"] = "0.1.9"
        record["verdict"] |= {"headline": "Violated, in older words.", "findings": []}

    report = read(tmp_path / "r.json", edited("violated", older))
    assert report.verdict.headline == report_of("violated").verdict.headline
    with pytest.raises(InputError, match=r"verdict\.violated is false"):
        read(tmp_path / "r.json", edited("violated", lambda record: older(record) or record["verdict"].update(violated=False)))


def _before_the_teacher(record):
    """As a version wrote it that could not be told what is known of the teacher."""
    record["environment"]["kd2m-theory"] = "0.1.9"
    del record["settings"]["teacher_risk"], record["settings"]["teacher_error"]


def test_an_audit_that_was_told_nothing_of_the_teacher_reads_as_one_that_could_not_be(tmp_path):
    report = read(tmp_path / "r.json", edited("plain", _before_the_teacher))
    assert report.settings == report_of("plain").settings
    with pytest.raises(InputError, match=r"settings\.teacher_risk is missing"):
        read(tmp_path / "r.json", edited("plain", lambda record: record["settings"].pop("teacher_risk")))


def _first_release(record):
    record["schema"] = "kd2m-audit/2"
    _before_the_teacher(record)
    record["environment"]["kd2m-theory"] = "0.1.0"
    del record["verdict"], record["clipping"], record["breakdown"], record["settings"]["rows"]
    for row in record["rows"]:
        del row["sentence"], row["never_beats"]


def test_audits_of_the_first_release_get_the_sentences_of_their_rows(tmp_path):
    report = read(tmp_path / "r.json", edited("plain", _first_release))
    assert [row.sentence for row in report.rows] == [row.sentence for row in ROWS]
    assert report["T5"] == report_of("plain")["T5"]
    assert report["F2.T0"].never_beats == "F1.risk"
    assert report.clipping is None
    assert report.verdict.cross_entropy.sentence.startswith("Cross-entropy, clipped: ")
    assert report.to_dict()["schema"] == SCHEMA["properties"]["schema"]["const"]

    def unknown(record):
        _first_release(record)
        record["rows"][0]["name"] = "T99"

    with pytest.raises(InputError, match=r'rows\[0\]\.name is "T99", and there is no such row'):
        read(tmp_path / "r.json", edited("plain", unknown))


def _without_breakdown(record):
    record["schema"] = "kd2m-audit/3"
    del record["breakdown"]


def test_audits_from_before_there_was_a_breakdown_are_read_without_one(tmp_path):
    report = read(tmp_path / "r.json", edited("plain", _without_breakdown))
    assert report == dataclasses.replace(report_of("plain"), breakdown=None)
    assert report.to_dict()["breakdown"] is None
    report.to_html(tmp_path / "r.html")
    with pytest.raises(InputError, match='"breakdown" is unknown'):
        read(tmp_path / "r.json", edited("plain", lambda record: record.update(schema="kd2m-audit/3")))


def _twice(record):
    record["rows"].append(record["rows"][0])


def _crossed(record):
    record["rows"][0]["distances"]["W"] = {"lower": 2.0, "upper": 1.0, "unit": "distance", "method": "", "capped": False}


HOSTILE = {
    "nothing": (b"", "JSONDecodeError"),
    "not JSON": (b"\xff\xfe", "is not an audit"),
    "a list": (b"[]", "it is not a table"),
    "a pair": (b"PK\x03\x04", "JSONDecodeError"),
    "nested": (b"[" * 200_000, "RecursionError"),
    "nested in a field": (b'{"schema": "kd2m-audit/4", "n": ' + b"[" * 900 + b"]" * 900 + b"}", "is missing"),
    "empty table": (b"{}", "its schema is null"),
    "schema of another": (b'{"schema": "kd2m-campaign/3"}', 'its schema is "kd2m-campaign/3"; kd2m-audit/4, kd2m-audit/3 and'),
    "schema of the future": (b'{"schema": "kd2m-audit/5"}', 'its schema is "kd2m-audit/5"'),
    "schema as a list": (b'{"schema": [1]}', "its schema is [1]"),
    "no rows": (edited("plain", lambda record: record.pop("rows")), "rows is missing"),
    "row twice": (edited("one row", _twice), 'row "T5" is there twice'),
    "NaN": (edited("plain", lambda record: record.update(seconds=math.nan)), "it has the number NaN"),
    "too large": (edited("plain", lambda record: record.update(delta=10**400)), "it has a whole number of 401 digits"),
    "text for a number": (edited("plain", lambda record: record.update(n="60")), 'n is "60", not a whole number'),
    "truth for a number": (edited("plain", lambda record: record.update(share=True)), "share is true"),
    "share above delta": (edited("plain", lambda record: record.update(share=0.5)), "share exceeds delta"),
    "unknown field": (edited("plain", lambda record: record.update({"a\nb" * 99: 1})), "is unknown"),
    "unknown value": (edited("plain", lambda record: record["measured"].update(speed={})), '"speed" is unknown'),
    "unknown target": (edited("plain", lambda record: record["rows"][0].update(target="x")), "rows[0].target is"),
    "crossed sides": (edited("one row", _crossed), "rows[0].distances.W.lower exceeds rows[0].distances.W.upper"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_audit_is_one_line_that_names_file_and_field(case, tmp_path):
    text, words = HOSTILE[case]
    with pytest.raises(InputError) as caught:
        read(tmp_path / "r.json", text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "r.json"))
    assert words in message
    assert "\n" not in message
    assert len(message) < 500


def test_files_that_are_none_and_files_too_large_are_not_read(tmp_path):
    for path, words in ((tmp_path, "it is a folder"), (tmp_path / "absent.json", "there is no file")):
        with pytest.raises(InputError, match=words):
            AuditReport.from_json(path)
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match="it has 1,024 MiB, more than 64"):
        AuditReport.from_json(tmp_path / "large.json")


def test_half_of_a_surrogate_pair_survives_in_a_file_that_is_utf_8(tmp_path):
    report = dataclasses.replace(report_of("one row"), provenance={"teacher": "half \ud800, ‖whole‖"})
    report.to_json(tmp_path / "r.json")
    assert "‖whole‖" in (tmp_path / "r.json").read_text(encoding="utf-8")
    assert AuditReport.from_json(tmp_path / "r.json").provenance == report.provenance


def test_a_notebook_shows_the_first_screen():
    report = report_of("violated")
    shown = report._repr_html_()
    assert report.verdict.headline in shown.replace("&amp;", "&")
    assert ">errors</th>" in shown
    assert "T0.error" in shown
    assert "<h" not in shown
    assert "id=" not in shown


def _row(record, name):
    return next(row for row in record["rows"] if row["name"] == name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: _row(record, "T5").update(statement="the moon is cheese"), "the statement of row T5"),
        (lambda record: _row(record, "F1.gap").update(level=0.5), "the level of row F1.gap is 0.5"),
        (lambda record: _row(record, "T5")["assumptions"][0].update(name="moonphase"), 'row T5 assumes "moonphase"'),
    ],
)
def test_a_row_of_this_version_says_what_the_version_says(change, words, tmp_path):
    with pytest.raises(InputError, match=words):
        read(tmp_path / "r.json", edited("plain", change))


def test_a_report_has_one_line_and_its_rows_too():
    for report in map(report_of, CASES):
        assert "\n" not in repr(report)
        assert all("\n" not in str(row) and row.name in str(row) for row in report.rows)


def test_what_a_terminal_would_obey_is_not_printed():
    plain = report_of("plain")
    row = dataclasses.replace(plain.rows[0], status="not applicable", why="\x1b[31mred")
    report = dataclasses.replace(plain, rows=(row,))
    assert "\x1b" not in report.table() + report.table(every_row=True)
    assert "\ufffd[31mred" in report.table(every_row=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"pair": "a.npz"}, "pair is a str; pass a Pair"),
        ({"align": "a.npz"}, "align is a str; pass a Pair"),
        ({"delta": "x"}, "delta is 'x'"),
        ({"only": ["T0", "t1.L1"]}, "there is no row t1.L1; did you mean 'T1.l1'"),
    ],
)
def test_an_audit_of_something_else_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        audit(**({"pair": Pair([[0.0], [1.0]], [[0.0], [1.0]], head_weight=[[1.0], [-1.0]])} | arguments))


def _measured(name, **changes):
    return lambda record: record["measured"][name].update(changes)


def _clipped(**changes):
    return lambda record: record["clipping"].update(changes)


def _rows(target, measured):
    """Another measured value in every row about a target."""

    def change(record):
        for row in record["rows"]:
            if row["target"] == target and row["status"] != "not applicable":
                row["measured"] = measured

    return change


def _other_gap(record):
    """Another gap, in the rows too, and still not that of the risks."""
    value = record["measured"]["gap"]["value"] + 0.01
    record["measured"]["gap"]["value"] = value
    _rows("gap", value)(record)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_measured("gap", value=-5.0, lower=-9.0), "measured.gap is -5, but risk_student − risk_teacher is"),
        (_other_gap, "but risk_student − risk_teacher is"),
        (_measured("gap_shared_head", value=3.0, upper=9.0), "T1.directed is 0.489705, but the gap_shared_head is 3"),
        (_measured("head_mismatch", value=3.0, upper=9.0), "measured.head_mismatch is 3"),
        (_measured("error_gap", value=0.0, lower=-1.0), "measured.error_gap is 0"),
        (_measured("disagreement", value=0.01, lower=0.0), "networks that disagree on 0.01"),
        (_measured("accuracy_student", value=2.0, upper=3.0), "measured.accuracy_student.value is 2"),
        (_measured("gap", upper=-9.0), "outside its interval"),
        (_measured("gap", value=9.0), "outside its interval"),
        (_measured("gap", level=0.5), "measured.gap.level is 0.5, and everything together is at 0.95"),
        (_measured("error_gap", level=0.5), "measured.error_gap.level is 0.5"),
        (_measured("gap", guaranteed=True), "no interval for a mean of unbounded losses is guaranteed"),
        (_measured("gap", unit="probability"), "measured.gap.unit is probability, not nats"),
        (lambda record: record["measured"].pop("gap"), "the gap of row T0 is in row, and missing in measured"),
        (lambda record: record["measured"].pop("risk_teacher"), "measured.risk_teacher is missing"),
        (_rows("gap", None), "the gap of row T0 is in measured, and missing in row"),
        (_rows("error_student", 0.9), "the measured value of row T8.directed is 0.9"),
        (_clipped(bound=9.0), "clipping.bound is 9, but the audit clips at 2.197"),
        (_clipped(share_student=1.0), "clipping.share_student exceeds"),
        (_clipped(risk_student=0.0), "clipping.risk_student is 0"),
        (_clipped(share_teacher=None), "are not both there or both missing"),
        (lambda record: _row(record, "F2.T0").update(never_beats=None), "the never_beats of row F2.T0"),
    ],
)
def test_measured_values_that_contradict_each_other_or_their_rows_are_refused(change, words, tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path / "r.json", edited("plain", change))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def _broken(*place, **changes):
    """Other values at a place of the breakdown."""

    def change(record):
        inside = record["breakdown"]
        for key in place:
            inside = inside[key]
        inside.update(changes)

    return change


def _turned(name):
    return lambda record: record["breakdown"][name].reverse()


def _repeated(name):
    return lambda record: record["breakdown"][name].insert(0, record["breakdown"][name][0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_broken(by="teacher"), "breakdown.by is teacher, and measured.gap is there"),
        (_broken("classes", 0, gap=0.3), "the gap of breakdown.classes sums to"),
        (_broken("classes", 0, error_gap=0.3), "the error_gap of breakdown.classes sums to"),
        (_broken("classes", 0, disagreement=0.0), "the disagreement of breakdown.classes sums to"),
        (_broken("classes", 0, transport=0.1), "the transport of breakdown.classes sums to"),
        (_broken("classes", 0, transport=-0.1), "breakdown.classes have a transport below 0"),
        (_broken("classes", 0, gap=None), "breakdown.classes have a gap where there is none, or lack one"),
        (_broken("classes", 0, samples=1), "breakdown.classes have"),
        (_broken("classes", 0, label=3), "breakdown.classes[0].label is 3, and there are 3 classes"),
        (_broken("classes", 0, name="cat"), "breakdown.classes[0].name is not that of breakdown.names"),
        (_broken(names={"0": "cat"}), "breakdown.names are not those"),
        (_broken(transport_row="T2.logits.head_aware"), "the transport of breakdown.classes sums to"),
        (_broken(transport_row=None), "breakdown.classes have a transport where there is none"),
        (_broken(classes=[]), "breakdown.classes is empty"),
        (_turned("classes"), "breakdown.classes are not in order"),
        (_repeated("classes"), "breakdown.classes has an entry twice"),
        (_broken(added=3), "breakdown.added is 3 and .removed"),
        (_broken(removed=None), "breakdown.added or .removed is there without"),
        (_turned("confusions"), "breakdown.confusions are not in order"),
        (_repeated("confusions"), "breakdown.confusions has an entry twice"),
        (_broken(confusions=[]), "do not make the"),
        (_broken(confusions_left_out=1), "do not make the"),
        (_broken("confusions", 0, predicted=7), "breakdown.confusions[0].predicted is 7"),
        (_turned("samples"), "breakdown.samples are not in order"),
        (_repeated("samples"), "breakdown.samples has an entry twice"),
        (_broken("samples", 0, gap=5.0), "breakdown.samples[0].gap is 5, which does not follow"),
        (_broken(samples=[], samples_left_out=1), "more than there can be"),
        (_broken(samples_left_out=60), "more than there can be"),
        (_broken(reliability=None), "breakdown.reliability and measured.gap are not both"),
        (_broken("reliability", "student", error=0.5), "breakdown.reliability.student.error is 0.5, but"),
        (_broken("reliability", "student", excess=-0.5), "breakdown.reliability.student.excess is -0.5, but"),
        (_broken("reliability", "teacher", bins=[]), "breakdown.reliability.teacher.bins have 0 samples"),
        (_broken("reliability", "teacher", "bins", 0, accuracy=0.5), "have a mean accuracy of"),
        (_broken("reliability", "teacher", "bins", 0, share=0.5), "have shares that are not those"),
        (_broken("reliability", "teacher", "bins", 0, confidence=1.0), "are not in the order of their confidence"),
        (lambda record: record.update(clipping=None), "breakdown is there and clipping is null"),
        (lambda record: record.pop("breakdown"), "breakdown is missing"),
    ],
)
def test_a_breakdown_that_contradicts_itself_or_what_was_measured_is_refused(change, words, tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path / "r.json", edited("plain", change))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [40, 47, 64, 80, 104])
def test_a_table_is_never_wider_than_asked_for_and_no_number_is_cut(width):
    for case in ("plain", "unlabelled", "violated", "infinite"):
        report = report_of(case)
        lines = report.table(width, every_row=True).splitlines()
        assert max(map(cell_len, lines)) <= width
        for row in report.rows:
            if row.applicable:
                assert number(rounded_up(row.upper, 4)) in "\n".join(lines)


def test_what_is_not_finite_is_never_a_verdict():
    plain = report_of("plain")
    row = dataclasses.replace(plain["T0"], measured=math.nan)
    assert (row.holds, row.violated) == (None, False)
    broken = {
        name: dataclasses.replace(plain.measured[name], value=math.inf, lower=-math.inf, upper=math.inf)
        for name in plain.measured
    }
    found = dataclasses.replace(plain, measured=broken).verdict
    assert found.cross_entropy.status == "undecided"
    assert found.overall == "undecided"
    words = " ".join((found.headline, found.errors.sentence, found.cross_entropy.sentence))
    assert not re.search(r"nan|∞|\binf", words.lower())
