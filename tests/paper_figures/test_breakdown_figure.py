import pytest

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.paper_figures.breakdown import FIGURE


@pytest.mark.long
def test_a_report_of_the_users_own_is_drawn_as_it_plots_itself(tmp_path):
    pair = Pair(
        logits_teacher=[[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]],
        logits_student=[[0.0, 1.0], [0.0, 1.0], [2.0, 0.0]],
        labels=[0, 1, 0],
    )
    (tmp_path / "alone").mkdir()
    report = audit(pair, only=())
    report.to_json(tmp_path / "alone" / "report.json")
    report.plot_breakdown(tmp_path / "plotted.svg")
    assert FIGURE.rendered(FIGURE.numbers(tmp_path), ["svg"])["svg"] == (tmp_path / "plotted.svg").read_bytes()


def test_a_report_without_a_breakdown_is_refused(tmp_path):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "report.json").write_text('{"measured": {}, "rows": [], "breakdown": null}')
    with pytest.raises(InputError, match="the report has no breakdown"):
        FIGURE.numbers(tmp_path)
