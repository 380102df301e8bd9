"""The check of the built site finds what it is there for."""

import importlib.util

import pytest
from pages import ROOT

GOOD = '<html><body id="here"><a href="other.html#there">a</a><a href="#here">b</a><a href="https://example.org">c</a></body></html>'
OTHER = '<html><body><h1 id="there">d</h1><img src="picture.png"></body></html>'
BAD = {
    '<script src="https://cdn.example.org/a.js"></script>': "page.html loads https://cdn.example.org/a.js from the network",
    '<link rel="stylesheet" href="//fonts.example.org/a.css">': "page.html loads //fonts.example.org/a.css from the network",
    '<a href="gone.html">a</a>': "page.html leads to gone.html, which is not there",
    '<a href="other.html#elsewhere">a</a>': "page.html leads to other.html#elsewhere, and that page has no such place",
    '<a href="#nowhere">a</a>': "page.html leads to #nowhere, and that page has no such place",
    '<dt class="field-odd">Type<span class="colon">:</span></dt>': "page.html takes the beginning of a docstring for a type",
}


@pytest.fixture(scope="module")
def faults():
    spec = importlib.util.spec_from_file_location("site_checks", ROOT / "docs/extensions/site_checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.faults


@pytest.fixture
def site(tmp_path):
    (tmp_path / "page.html").write_text(GOOD)
    (tmp_path / "other.html").write_text(OTHER)
    (tmp_path / "site.css").write_text("body { background: url(picture.png) }")
    return tmp_path


def test_a_site_that_keeps_to_itself_passes(site, faults):
    assert list(faults(site)) == []


@pytest.mark.parametrize("fault", BAD)
def test_a_fault_is_named(fault, site, faults):
    (site / "page.html").write_text(GOOD + fault)
    assert list(faults(site)) == [BAD[fault]]


@pytest.mark.parametrize("rule", ["src: url(https://fonts.example.org/a.woff)", '} @import "//example.org/a.css"; {'])
def test_a_style_that_loads_from_the_network_is_named(rule, site, faults):
    (site / "site.css").write_text(f"body {{ {rule} }}")
    assert list(faults(site)) == ["site.css loads something from the network"]
