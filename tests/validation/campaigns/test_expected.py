"""What a campaign is expected to take: counts are exact, seconds are sums of what was measured, and nothing is written."""

import tomllib
from pathlib import Path

import pytest
from campaign_text import TEXT

from kd2m_theory.commands.main import main
from kd2m_theory.validation.campaigns.campaign import campaign
from kd2m_theory.validation.campaigns.expected import Speed, audit_seconds, expected

SPEED = Speed(teacher_step=1.0, student_step=10.0, teacher_image=100.0, student_image=1000.0)


@pytest.fixture
def found():
    return expected(campaign(tomllib.loads(TEXT)), lambda _run, _source, _device: SPEED)


def total(found, kind):
    return sum(item.total for item in found.items if item.kind == kind)


def times(found, kind):
    return sum(item.times for item in found.items if item.kind == kind)


def test_every_training_and_audit_is_counted(found):
    # Two students, four points, two seeds in the sweep; one run in the coverage study; one teacher for all of them.
    assert (times(found, "teachers"), times(found, "students")) == (1, 17)
    # The untrained student once for each student and seed.
    assert times(found, "audits") == 16 + 4
    assert times(found, "coverage") == 1 + 5 + 3


def test_seconds_are_steps_and_images_times_what_each_takes(found):
    # One epoch of two steps, and a look at the two images that a coverage study keeps.
    assert total(found, "teachers") == 2 * 1.0 + 2 * 100.0
    study = 2 * 10.0 + 2 * 1000.0 + 2 * 2 * 1100.0
    run = 2 * (2 * 10.0 + 50 * 1000.0) + 2 * 50 * 1100.0
    assert total(found, "students") == pytest.approx(study + 16 * run)
    fresh = 10_000 * 1100.0 + 5 * 20 * 1100.0 + 3 * 40 * 1100.0
    assert fresh <= total(found, "coverage") < fresh * (1 + 1e-4) + 8 * 10


def test_workers_share_all_of_it_but_a_gpu_that_is_one(found):
    assert found.wall_clock(4) == pytest.approx(found.total / 4)
    on_gpu = expected_on(found, "cuda")
    assert on_gpu.wall_clock(1_000_000) == pytest.approx(total(found, "teachers") + total(found, "students"))
    assert on_gpu.wall_clock(1) == pytest.approx(found.total)


def expected_on(found, device):
    return type(found)(items=found.items, device=device)


def test_more_images_take_longer():
    small, large = (audit_seconds(n, 10, 16, delta=0.05) for n in (200, 2000))
    assert 0 < small < large


def test_the_command_prints_it_and_writes_nothing(monkeypatch, tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["kd2m", "validate", "mine.toml", "--estimate", "--workers", "3"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    said = capsys.readouterr().out
    assert said.startswith("expected: ")
    assert "with 3 workers" in said
    assert "gaussian-mixture, mlp-4-8, cw2" in said
    assert [path.name for path in Path(tmp_path).iterdir()] == ["mine.toml"]
