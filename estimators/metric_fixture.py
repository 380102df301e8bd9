"""A pytest fixture that checks a distance; a suite asks for it in its `conftest.py`:

    pytest_plugins = ["kd2m_theory.estimators.metric_fixture"]

It is not registered as an entry point: every run of pytest in the environment would then import NumPy and SciPy.
"""

from collections.abc import Callable
from typing import Any

import pytest

from kd2m_theory.estimators.axioms import MetricReport, check_metric


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--metric-examples` and `--metric-seed`, so that a nightly run can try more clouds than every commit does."""
    group = parser.getgroup("kd2m-theory")
    group.addoption("--metric-examples", type=int, help="Clouds that metric_laws tries for each axiom (by default 200).")
    group.addoption("--metric-seed", type=int, help="Seed of metric_laws (by default 0).")


@pytest.fixture
def metric_laws(request: pytest.FixtureRequest) -> Callable[..., MetricReport]:
    """A function that is called as `check_metric` is and fails the test if an axiom fails.

    What the command line says about examples and seed comes before what the test says.
    """

    def check(distance: Callable[..., Any], **options: Any) -> MetricReport:
        for name in ("examples", "seed"):
            if (value := request.config.getoption(f"--metric-{name}")) is not None:
                options[name] = value
        report = check_metric(distance, **options)
        if not report.passed:
            pytest.fail(str(report), pytrace=False)
        return report

    return check
