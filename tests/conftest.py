"""Every run draws the same examples and prints tables of the same width."""

import gc
import importlib.metadata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `make long` tries the laws with --hypothesis-profile=many.
for name, examples in (("few", 25), ("many", 100)):
    settings.register_profile(
        name, derandomize=True, deadline=None, max_examples=examples, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("few")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported and collected stays to the end: a million objects, which no garbage collection has to visit."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_terminal():
    # Workers of pytest-xdist are told a width, from which tables would take theirs.
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture(scope="session")
def demo_pairs():
    """Stored pairs of two trained students, by what they learned from: "alone" and "cw2"; tests/data/README.md describes them."""
    from kd2m_theory import Pair

    return {name: Pair.load(Path(__file__).parent / "data" / f"demo-{name}.npz") for name in ("alone", "cw2")}


@pytest.fixture
def wheel_installed():
    """What is installed is a wheel, which can be looked into."""
    if any("__editable__" in file.as_posix() for file in importlib.metadata.files("kd2m-theory") or ()):
        pytest.skip("an editable install has no wheel to look into; `make test` installs one")


@pytest.fixture(scope="module")
def one_thread():
    """Problems are small: threads that wait for one another would cost a factor of ten."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
