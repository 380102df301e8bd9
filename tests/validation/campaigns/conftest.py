"""One campaign with real training for all tests that look at what comes of it."""

import pytest
from campaign_work import Inline
from small_campaign import reduced

from kd2m_theory.validation.campaigns import engine
from kd2m_theory.validation.campaigns.plan import tasks
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.campaigns.work import work


@pytest.fixture(scope="session")
def campaign_store(tmp_path_factory):
    """The store of the reduced campaign, computed in this process; not to be changed."""
    folder = tmp_path_factory.mktemp("campaign")
    made, chosen = Store(folder / "small"), reduced()
    made.create(chosen.table, chosen.digest, resume=False)
    engine.run(tasks(chosen), made, Inline(folder / "scratch"), work)
    made.write_table()
    return made


@pytest.fixture(scope="session", autouse=True)
def _panel_of_the_code_as_it_is():
    """Computed before any test patches what it is computed of."""
    from kd2m_theory.validation.panel import panel

    panel()
