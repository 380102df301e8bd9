"""Pictures in the tests have a sixth of the resolution: what is compared are bytes of two runs, and the layout, which is in inches."""

import pytest

from kd2m_theory.reporting import style


@pytest.fixture(scope="package", autouse=True)
def _few_pixels():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", style.DPI // 6)
        yield
