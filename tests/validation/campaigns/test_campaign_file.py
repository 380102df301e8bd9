import copy
import tomllib

import pytest
from campaign_text import TEXT

from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns.campaign import POPULATION_ROWS, campaign, read_campaign, shipped_campaigns
from kd2m_theory.validation.campaigns.plan import check, tasks
from kd2m_theory.validation.objectives.registry import SINGLE

POPULATIONS = ("digits", "glyphs", "gaussian-mixture")


@pytest.fixture
def table():
    return tomllib.loads(TEXT)


def changed(table, path, value):
    """A copy with the value at a dotted path; an index picks from a list of tables."""
    table = copy.deepcopy(table)
    *parents, last = path.split(".")
    place = table
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return table


def test_the_grid_is_student_by_objective_by_weight_by_seed(table):
    runs = campaign(table).runs
    assert len(runs) == 2 * 4 * 2
    seen = {(run.student.network, run.objective["name"], run.objective.get("weight"), run.seed) for run in runs}
    assert len(seen) == 16
    assert ("mlp-6-8", "cw2", 1.0, 1) in seen
    soft = next(run for run in runs if run.objective["name"] == "kd")
    assert soft.objective["temperature"] == 2.0
    # The untrained student is one for all objectives.
    assert {run.pairs_at for run in runs if run.objective["name"] == "none"} == {(0, 2)}
    assert {run.pairs_at for run in runs if run.objective["name"] != "none"} == {(2,)}
    assert soft.pairs.images == 50


def test_a_point_of_two_sweeps_is_run_once(table):
    doubled = changed(table, "sweep", table["sweep"] * 2)
    assert campaign(doubled).runs == campaign(table).runs


def test_a_point_of_two_sweeps_with_other_epochs_is_one_run_with_all_of_them(table):
    first, second = (copy.deepcopy(table["sweep"][0]) | {"students": ["mlp-4-8"], "seeds": [0]} for _ in range(2))
    first |= {"objectives": {"none": {}, "kd": {}}, "epochs": [0, 2]}
    second |= {"objectives": {"kd": {}, "ttm": {}}, "epochs": [0, 1]}
    runs = campaign(changed(table, "sweep", [first, second])).runs
    # The untrained student comes with the first objective of a sweep.
    assert [(run.objective["name"], run.pairs.at) for run in runs] == [("none", (0, 2)), ("kd", (0, 1, 2)), ("ttm", (1,))]


def test_pairs_of_the_audited_seeds_are_kept_and_those_of_others_trained_alone(table):
    chosen = campaign(changed(table, "sweep.0.audited_seeds", [1]))
    assert [run for run in chosen.runs if run.seed == 1] == [run for run in campaign(table).runs if run.seed == 1]
    others = [run for run in chosen.runs if run.seed == 0]
    assert len(others) == 8
    assert all(run.pairs_at == () for run in others)
    # A sweep that audits a point does so whatever another one does.
    again = changed(table, "sweep", [chosen.table["sweep"][0], table["sweep"][0]])
    assert {run.digest for run in campaign(again).runs} == {run.digest for run in campaign(table).runs}


def test_tasks_share_the_teacher_and_audits_wait_for_their_networks(table):
    listed = tasks(campaign(table))
    kinds = [task.table["kind"] for task in listed]
    assert kinds == ["network"] + ["audits"] * (3 + 2) + ["pair"] * 16
    assert len({task.digest for task in listed}) == len(listed)
    assert len({task.shares for task in listed if task.shares}) == 1  # one teacher for sweep and coverage
    assert all(task.needs == listed[0].makes for task in listed[1:6])
    assert [(task.table["n"], task.table["start"], task.table["stop"]) for task in listed[1:6]] == [
        (20, 0, 2),
        (20, 2, 4),
        (20, 4, 5),
        (40, 0, 2),
        (40, 2, 3),
    ]


def test_no_two_audits_of_a_study_look_at_one_sample(table):
    more = changed(table, "coverage.0.audits", table["coverage"][0]["audits"] + [{"sizes": [40, 60], "repeats": [4, 2]}])
    blocks = [task.table for task in tasks(campaign(more)) if task.table["kind"] == "audits"]
    samples = [(block["n"], repeat) for block in blocks for repeat in range(block["start"], block["stop"])]
    assert sorted(samples) == [(n, k) for n, repeats in ((20, 5), (40, 7), (60, 2)) for k in range(repeats)]


def test_digests_say_what_decides_the_numbers(table):
    before = {task.digest for task in tasks(campaign(table))}
    assert before == {task.digest for task in tasks(campaign(copy.deepcopy(table)))}
    more = {task.digest for task in tasks(campaign(changed(table, "sweep.0.seeds", [0, 1, 2])))}
    assert before < more
    pairs = {task.digest for task in tasks(campaign(table)) if task.table["kind"] == "pair"}
    assert pairs.isdisjoint(task.digest for task in tasks(campaign(changed(table, "delta", 0.1))))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("sweeep", [], r"has no 'sweeep'; did you mean 'sweep'\?"),
        ("sweep.0.seed", [1], r"\[\[sweep\]\] 1: it has no 'seed'; did you mean 'seeds'\?"),
        ("sweep.0.epochs", None, r"\[\[sweep\]\] 1: it lacks 'epochs'"),
        ("sweep.0.seeds", [], "seeds is .*; give a list with at least one entry"),
        ("sweep.0.students", ["mlp-4-8", "mlp-4-8"], "give each entry once"),
        ("sweep.0.epochs", [0, 3], "pairs.at names epoch 3 of 2"),
        ("sweep.0.audited_seeds", [], r"\[\[sweep\]\] 1: audited_seeds is \[\]; give a list with at least one entry"),
        ("sweep.0.audited_seeds", ["0"], r"audited_seeds names '0', and seeds is \[0, 1\]; name some of these"),
        ("sweep.0.audited_seeds", [1, 2], "audited_seeds names 2"),
        ("sweep.0.objectives", {}, "objectives is {}; name some"),
        ("sweep.0.objectives.kd", 0.5, "objectives.kd is 0.5; give a table"),
        ("sweep.0.objectives.cw2.weight", [], "objectives.cw2.weight is .*at least one"),
        ("sweep.0.training.epoch", 3, "has no 'epoch'; did you mean 'epochs'"),
        (
            "sweep.0.teacher",
            {"network": "mlp-16-8", "weights": "t.safetensors"},
            "t.safetensors, which other machines do not have",
        ),
        ("sweep.0.seeds", list(range(20_000)), "the grid has 160,000 points"),
        ("sweep", {}, r"sweep is one table; write \[\[sweep\]\]"),
        ("delta", 1.5, "delta is 1.5"),
        ("device", "tpu", "device is 'tpu'"),
        ("coverage.0.deltas", [0.0], r"\[\[coverage\]\] 1: deltas has 0.0"),
        ("coverage.0.draws", 100, "draws is 100"),
        ("coverage.0.audits", [], "there are no audits"),
        ("coverage.0.audits.0.repeats", [5], r"\[\[coverage\]\] 1: \[\[coverage.audits\]\] 1: there are 1 repeats for 2 sizes"),
        ("coverage.0.audits.0.rows", ["F1.gpa"], "did you mean 'F1.gap'"),
        ("coverage.0.audits.0.rows", ["T1.l2"], "'T1.l2', which is not a row about the population"),
        ("coverage.0.audits.0.sizes", [20, 20], "give each entry once"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(table, path, value, words):
    with pytest.raises(InputError, match=words) as caught:
        campaign(changed(table, path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("sweep.0.students", ["mlp-4-8", "mpl-4-8"], "there is no network 'mpl-4-8'"),
        ("sweep.0.objectives.kdd", {}, "there is no objective 'kdd'"),
        ("sweep.0.objectives.cw2.wieght", 1.0, "has no option 'wieght'"),
        ("sweep.0.population.name", "gaussian-mixtures", "there is no population"),
        ("sweep.0.students", ["mlp-4-4"], "features"),
        ("sweep.0.training", {"epochs": 2, "batch": 8, "learning_rate": 1e-3}, "steps"),
        ("sweep.0.head", "teacher", None),
        ("coverage.0.population", {"name": "digits"}, "coverage is measured on fresh images, and digits has no more than"),
    ],
)
def test_a_grid_that_cannot_be_trained_is_refused_before_anything_is(table, path, value, words):
    chosen = campaign(changed(table, path, value))
    if words is None:
        check(chosen, here=True)
        chosen = campaign(changed(changed(table, path, value), "sweep.0.students", ["mlp-4-4"]))
        chosen = campaign(changed(chosen.table, "sweep.0.objectives", {"none": {}}))
        words = "the student has 4 features and the teacher 8: the teacher's head does not fit"
    with pytest.raises(InputError, match=words):
        check(chosen, here=True)


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"did you mean 'standard'\? shipped ones are"):
        read_campaign("standrad")
    (tmp_path / "broken.toml").write_text("delta = ")
    with pytest.raises(InputError, match="is not TOML"):
        read_campaign(tmp_path / "broken.toml")
    with pytest.raises(InputError, match=r"neither \[\[sweep\]\] nor \[\[coverage\]\]"):
        campaign({})


@pytest.mark.long
def test_every_shipped_campaign_can_begin():
    assert set(shipped_campaigns()) == {"quick", "standard", "papers", "gpu", "mnist", "kd2m", "ttm"}
    for name in ("quick", "standard", "papers"):
        check(read_campaign(name), here=True)
    check(read_campaign("gpu"), here=False)


def test_quick_tries_every_objective():
    """A new one goes there. The table of `standard` covers what it names, and need not be made again for it."""
    assert {run.objective["name"] for run in read_campaign("quick").runs} == set(SINGLE)


def test_standard_is_what_it_claims_to_be():
    standard = read_campaign("standard")
    swept = [{run.objective["name"] for run in standard.runs if run.population["name"] == name} for name in POPULATIONS]
    assert len(swept[0]) >= 18
    assert all(names == swept[0] for names in swept)
    assert swept[0] <= set(SINGLE)
    assert {run.population["name"] for run in standard.runs} == set(POPULATIONS)
    assert len({run.seed for run in standard.runs}) == 5
    assert sum(len(run.pairs_at) for run in standard.runs) >= 300
    assert all(run.student.training.epochs in run.pairs_at for run in standard.runs)
    start = {(run.population["name"], run.seed) for run in standard.runs if 0 in run.pairs_at}
    assert start == {(run.population["name"], run.seed) for run in standard.runs}
    (study,) = standard.coverages
    assert study.draws >= 1_000_000
    assert study.deltas == (0.05, 0.2)
    tried = {}
    for audits in study.audits:
        for row in audits.rows:
            for n, repeats in zip(audits.sizes, audits.repeats, strict=True):
                tried[row, n] = max(repeats, tried.get((row, n), 0))
    assert {n for _, n in tried} == {200, 1000, 5000}
    assert tried["F1.gap", 5000] >= 2000
    assert {row for row, _ in tried} == set(POPULATION_ROWS)
    assert all(tried[row, n] >= 2000 for row in POPULATION_ROWS for n in (200, 1000))
