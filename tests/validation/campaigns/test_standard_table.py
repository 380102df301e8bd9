"""The shipped table of the campaign `standard` has everything that its file names."""

import copy
from collections import Counter, defaultdict

import pytest

from kd2m_theory.validation.campaigns import training_run
from kd2m_theory.validation.campaigns.campaign import POPULATION_ROWS, campaign, read_campaign
from kd2m_theory.validation.campaigns.claims import BROKEN, TOGETHER
from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD
from kd2m_theory.validation.campaigns.table import rows_of
from kd2m_theory.validation.campaigns.task import Task

# Of standard.toml when its table was made. The table has no training recipe, so that a change of one would not be seen in it.
MADE_WITH = "b8bf8d0e1f2f0c81"
RERUN = "run `kd2m validate standard`, ship its table as validation/benchmarks/standard.parquet, and update this test"
RUN = ("population", "law", "teacher", "student", "head", "objective", "weight", "options", "seed")


@pytest.fixture(scope="module")
def table():
    """The shipped one; runs are described without versions of libraries, which would be read for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run, "environment", dict)
        yield STANDARD.read(STANDARD.path(None)).table


def pairs_of(chosen):
    """Every (run, epoch) that a campaign names."""
    for run in chosen.runs:
        said = training_run.columns(Task("", {}, ""), run)
        yield from ((tuple(said[key] for key in RUN), epoch) for epoch in run.pairs_at)


def missing_pairs(chosen, table):
    """(run, epoch) without bounds, measured values or distances."""
    keys = ["kind", *RUN, "epoch"]
    rows = table.group_by(keys).aggregate([]).select(keys).to_pylist()  # each once: the table is long
    seen = defaultdict(set)
    for row in rows:
        seen[tuple(row[key] for key in RUN), row["epoch"]].add(row["kind"])
    return [point for point in pairs_of(chosen) if not {"bound", "measured", "distance"} <= seen[point]]


def missing_cells(chosen, table):
    """Claims that were tried less often than the campaign says, at a size and a δ."""
    tried = Counter()
    for row in rows_of(table, "coverage"):
        tried[row["student"], row["stream"], row["name"], row["n"], row["delta"]] += row["trials"]
    wanted = Counter()
    for study in chosen.coverages:
        for audits in study.audits:
            whole = (TOGETHER, BROKEN) if set(audits.rows) == set(POPULATION_ROWS) else ()
            for name in (*audits.rows, *whole):
                for n, repeats in zip(audits.sizes, audits.repeats, strict=True):
                    for delta in study.deltas:
                        wanted[study.run.student.network, study.seed, name, n, delta] += repeats
    return [cell for cell, repeats in wanted.items() if tried[cell] < repeats]


def test_the_table_has_every_run_epoch_and_claim_that_the_file_names(table):
    standard = read_campaign("standard")
    assert not missing_pairs(standard, table), RERUN
    assert not missing_cells(standard, table), RERUN
    draws = {row["n"] for row in rows_of(table, "truth")}
    assert draws == {study.draws for study in standard.coverages}, RERUN
    assert standard.digest == MADE_WITH, RERUN


def test_what_the_table_lacks_is_noticed(table):
    changed = copy.deepcopy(dict(read_campaign("standard").table))
    sweep, study = changed["sweep"][2], changed["coverage"][0]
    sweep["objectives"]["kd"]["weight"] = [0.9, 0.8]
    sweep["epochs"] = [0, 2, 9, 10]
    study["audits"][0]["repeats"] = [2001, 2000]
    more = campaign(changed)
    lacking = missing_pairs(more, table)
    assert {(run[5], run[6]) for run, epoch in lacking if epoch != 9} == {("kd", 0.8)}
    assert {epoch for run, epoch in lacking if run[5] == "cw2"} == {9}
    assert {(name, n) for _, _, name, n, _ in missing_cells(more, table)} == {
        (name, 200) for name in (*POPULATION_ROWS, TOGETHER, BROKEN)
    }
