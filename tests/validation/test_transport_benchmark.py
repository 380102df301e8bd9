"""The benchmark of transport: what it makes of its measurements, what it takes up again, and its peers on small clouds."""

import importlib
import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from kd2m_theory import InputError
from kd2m_theory.paper_figures.transport_sizes import FIGURE

MADE = {"time": 1.0, "distance": 2.0, "peak memory": 50.0}
FOLDER = Path(__file__).parents[2] / "validation" / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("transport")


def record(script, case, **found):
    nothing = {column.name: None if column.format else "" for column in script.MEASURED}
    return nothing | {name: getattr(case, name) for name in ("problem", "method", "n", "m", "d", "seed")} | found


def invented(script):
    """Times and memory that are powers of n; a peer that needs ten times as long and has an error of 1 %; one that is missing."""
    for n in (1000, 2000, 8000):
        for method, factor, power in (("ours", 1.0, 2.0), ("POT", 10.0, 3.0)):
            distance = 5.0 if method == "ours" else 5.05
            found = {"time": factor * (n / 1000) ** power, "peak memory": 100 * (n / 1000) ** (power / 2), "distance": distance}
            yield record(script, script.Case(script.MAIN, method, n, n, 512), **found)
        yield record(script, script.Case(script.MAIN, "OR-Tools", n, n, 512), remark="not installed")


def test_powers_quotients_and_errors_are_those_of_the_measurements(script):
    exact, growth, measured = script.tables(list(invented(script)))
    assert exact.measured("POT / ours") == pytest.approx([10.0, 20.0, 80.0])
    assert exact.measured("relative difference") == pytest.approx([0.01] * 3)
    assert growth.words("method") == ["ours", "POT"]
    assert growth.measured("exponent of time") == pytest.approx([2.0, 3.0])
    assert growth.measured("exponent of peak memory") == pytest.approx([1.0, 1.5])
    missing = measured.where("method", "OR-Tools")
    assert missing.words("remark") == ["not installed"] * 3
    assert missing.numbers("time") == missing.numbers("time / ours") == [None] * 3


def test_what_was_measured_is_taken_up_again_if_machine_and_versions_are_the_same(script, tmp_path, monkeypatch, capsys):
    path, run = tmp_path / "transport.json", []
    monkeypatch.setattr(sys, "argv", ["transport.py"])
    monkeypatch.setattr(script, "measured", lambda case, *_: run.append(case) or record(script, case, **MADE))
    chosen = Namespace(save=path, again=False, n=[1000], d=64, peers=1000, minutes=9e9, memory=1.0, seconds=60)
    script._run(chosen)
    assert run[0].method == "ours"
    assert {case.method for case in run} == {"ours", *script.PEERS}
    begun = len(run)
    script._run(chosen)
    assert len(run) == begun
    script._run(Namespace(**vars(chosen) | {"n": [1000, 2000]}))
    assert {case.n for case in run[begun:]} == {2000}
    script._run(Namespace(**vars(chosen) | {"n": [5000], "minutes": -1.0}))
    assert "1 measurements are left; the same command continues" in capsys.readouterr().out
    content = json.loads(path.read_text())
    content["environment"]["numpy"] = "0"
    path.write_text(json.dumps(content))
    before = len(run)
    script._run(chosen)
    assert len(run) == before + begun
    assert "everything is measured again" in capsys.readouterr().out


def test_the_sizes_that_were_promised_are_there(script):
    found = script.cases(script.SIZES, 512, 10_000)
    assert {(case.method, case.n) for case in found if case.problem == script.MAIN} == {
        *(("ours", n) for n in script.SIZES),
        *((peer, n) for n in script.SIZES if n <= 10_000 for peer in script.PEERS),
    }
    assert len({case.seed for case in found if (case.problem, case.n) == (script.MAIN, 50_000)}) == 5
    assert [case.n for case in found if case.problem == "W₂ on the line"] == [1_000_000]
    assert [(case.n, case.m) for case in found if case.problem.startswith("W₁")] == [(20_000, 15_000)]
    assert {case.problem for case in found} == set(script.PROBLEMS)


@pytest.mark.parametrize("peer", ["POT", "SciPy", "OR-Tools", "GeomLoss", "halving"])
def test_a_peer_gives_the_exact_value_or_one_near_it(script, peer, monkeypatch):
    """Independent oracle: SciPy's assignment of distances that are computed here."""
    module, function = script.PEERS[peer]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{peer} is not installed")
    monkeypatch.setattr(script, "_LEAVES", 16)
    x, y, _, _ = script.classes(60, 5, 3, False, 1)
    costs = cdist(x, y) ** 2
    true = np.sqrt(costs[linear_sum_assignment(costs)].mean())
    found = function(x, y)["distance"]
    if peer == "halving":
        assert true <= found * (1 + 1e-12)
        assert found <= 1.2 * true
    else:
        assert found == pytest.approx(true, rel=0.1 if peer == "GeomLoss" else 1e-7)


@pytest.mark.long
def test_a_measurement_is_a_process_with_limits(script, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    case = script.Case(script.MAIN, "SciPy", 400, 400, 8)
    found = script.measured(case, script.Limits(2**30, 60))
    assert found["time"] > 0 < found["peak memory"]
    assert (
        script.measured(script.Case(script.MAIN, "SciPy", 6000, 6000, 8), script.Limits(2**26, 60))["remark"]
        == "more than 0.0625 GiB"
    )
    assert script.measured(script.Case(script.MAIN, "POT", 5000, 5000, 8), script.Limits(2**32, 1))["remark"] == "more than 1 s"


def test_the_figure_has_every_method_in_the_largest_dimension(script, tmp_path):
    shipped = FIGURE.numbers()
    assert shipped["d"] == 512
    assert {method["name"] for method in shipped["methods"]} == {"ours", *script.PEERS}
    assert all(method["power_of_time"] > 1 for method in shipped["methods"])
    content = json.loads((FOLDER / "transport.json").read_text())
    content["tables"] = [table for table in content["tables"] if table["title"] != "growth"]
    (tmp_path / "transport.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="has no table 'growth'"):
        FIGURE.numbers(tmp_path)
