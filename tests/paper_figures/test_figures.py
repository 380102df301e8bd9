"""Every figure: the same bytes twice, from nothing but JSON; labelled, legible, in the palette, nothing cut off or covered."""

import io
import itertools
import json
import re
from functools import cache

import matplotlib as mpl
import numpy as np
import pytest
import torch
from drawn_tables import fresh_table, table_of
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text
from PIL import Image
from sampled import sampled

from kd2m_theory import InputError
from kd2m_theory.paper_figures import registry
from kd2m_theory.paper_figures.figure import FORMATS, PICTURES
from kd2m_theory.reporting import style
from kd2m_theory.reporting.style import (
    COLUMN,
    LNCS,
    NEUTRAL,
    PAGE,
    PALETTE,
    SMALLEST,
    WIDTHS,
    from_zero,
    log_marks,
    look,
    render,
    sheet,
)
from kd2m_theory.validation.stored_tables import StoredTable

NAMES = [figure.name for figure in registry.figures()]
# The scope keeps the tests of one figure together, so that they share its table and its files even where two processes share
# the tests.
# In every run one figure of each make; all of them where long tests run.
OF_EACH_MAKE = ("framework", "transport-map", "gaussian-approximation", "couplings", "ladder", "tightness")
every_figure = pytest.mark.parametrize("name", sampled(NAMES, always=OF_EACH_MAKE), scope="module")


def figure_of(name):
    return registry.chosen([name])[0]


# Every figure in its own width, and in the others: two of them in every run, all where long tests run.
AT_OTHER_WIDTHS = [(name, word) for name in NAMES for word in WIDTHS]
IN_EVERY_RUN = ("framework", "ladder")
at_every_width = pytest.mark.parametrize(
    ("name", "width"),
    sampled(
        [(name, None) for name in NAMES] + AT_OTHER_WIDTHS,
        always=IN_EVERY_RUN,
        name=lambda case: case[0] if case[1] is None else " ".join(case),
    ),
    scope="module",
)


@cache
def drawn(name, width=None):
    """The picture, and the texts that drawing it put on the sheet: tick labels beyond an axis exist and are not drawn."""
    picture, found, draw = figure_of(name).picture(table_of(name), WIDTHS.get(width)), [], Text.draw

    def recording(text, renderer):
        found.append(text)
        draw(text, renderer)

    with look(), pytest.MonkeyPatch.context() as patch:
        render(picture, ())  # in the layout that its files have
        patch.setattr(Text, "draw", recording)
        picture.draw_without_rendering()
    return picture, [text for text in found if text.get_visible() and text.get_text().strip()]


def picture_of(name, width=None):
    return drawn(name, width)[0]


def texts_of(name, width=None):
    return drawn(name, width)[1]


# Drawn in every format; of the others SVG, which says where each line and letter stands.
IN_EVERY_FORMAT = ("transport-map", "gaussian-approximation")


@cache
def files_of(name):
    return figure_of(name).rendered(table_of(name), FORMATS if name in IN_EVERY_FORMAT else ("svg", "json"))


@pytest.mark.parametrize("name", sampled(NAMES, always=["gaussian-approximation"]), scope="module")
def test_a_figure_drawn_again_from_its_stored_numbers_has_the_same_bytes(name):
    first = files_of(name)
    stored = json.loads(first["json"], parse_constant=lambda word: pytest.fail(f"{word} is not valid JSON"))
    assert figure_of(name).rendered(stored, tuple(first)) == first
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "json": b"{"}
    for kind, file in first.items():
        assert file.startswith(starts[kind])
        assert len(file) > (300 if kind == "json" else 1500)


@every_figure
def test_the_numbers_are_the_same_on_a_second_run_and_on_more_threads(name):
    first, before = table_of(name), torch.get_num_threads()
    torch.set_num_threads(3 - min(before, 2))
    try:
        assert fresh_table(name) == first
        assert torch.get_num_threads() != before
    finally:
        torch.set_num_threads(before)


@pytest.mark.long
def test_one_format_alone_has_the_bytes_that_it_has_among_others():
    name = "gaussian-approximation"
    for kind in ("svg", "pdf"):
        assert figure_of(name).rendered(table_of(name), [kind]) == {kind: files_of(name)[kind]}


@pytest.mark.long
def test_the_last_digits_of_a_layout_do_not_change_a_file():
    def drawn_at(nudge):
        with look():
            figure = sheet(COLUMN, 2, None)
            for part in figure.subfigures(1, 2, width_ratios=(1, 1 + nudge)):
                part.add_axes((0.2 + nudge, 0.2, 0.6, 0.6)).plot([0, 1])
            figure.add_axes((0.4, 0.9 + nudge, 0.1, 0.1)).plot([0, 1])
        return render(figure, ["svg", "pdf"])

    assert drawn_at(1e-13) == drawn_at(0)
    assert drawn_at(1e-3) != drawn_at(0)


def test_the_look_does_not_depend_on_the_users_settings():
    name = "gaussian-approximation"
    with mpl.rc_context(
        {"font.size": 20, "axes.grid": True, "axes.facecolor": "black", "savefig.bbox": "tight", "svg.hashsalt": None}
    ):
        changed = figure_of(name).rendered(table_of(name), ["svg"])
    assert changed["svg"] == files_of(name)["svg"]


@pytest.mark.long
@every_figure
def test_a_figure_is_as_wide_as_a_column_or_a_page(name):
    width = picture_of(name).get_figwidth()
    assert width in (COLUMN, PAGE)
    assert re.search(rb'<svg [^>]*width="([0-9.]+)pt"', files_of(name)["svg"])[1] == b"%g" % (72 * width)
    if "png" in files_of(name):
        assert Image.open(io.BytesIO(files_of(name)["png"])).width == round(style.DPI * width)


@at_every_width
def test_a_figure_is_as_wide_as_was_asked(name, width):
    asked = WIDTHS.get(width)
    assert picture_of(name, width).get_figwidth() == asked if asked else picture_of(name).get_figwidth() in (COLUMN, PAGE)


def test_the_text_of_lncs_is_122_mm_wide():
    assert WIDTHS == {"column": COLUMN, "lncs": LNCS, "page": PAGE}
    assert pytest.approx(122) == LNCS * 25.4


@every_figure
def test_every_axis_is_labelled(name):
    axes = [one for one in picture_of(name).axes if one.axison]
    assert axes
    for one in axes:
        shared_x = one.get_shared_x_axes().get_siblings(one)
        shared_y = one.get_shared_y_axes().get_siblings(one)
        assert any(other.get_xlabel() for other in shared_x), f"{one.get_title()} has no x label"
        assert any(other.get_ylabel() for other in shared_y), f"{one.get_title()} has no y label"
    for one in set(picture_of(name).axes) - set(axes):
        assert not one.get_title(), "a panel without axes that is titled is a panel"


@at_every_width
def test_every_letter_can_be_read(name, width):
    found = texts_of(name, width)
    assert found
    for text in found:
        assert text.get_fontsize() >= SMALLEST, text.get_text()


@at_every_width
def test_no_text_is_cut_off_or_covers_another(name, width):
    sheet = picture_of(name, width).bbox
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts_of(name, width)]
    for words, box in boxes:
        assert sheet.x0 - 0.5 <= box.x0, f"{words!r} leaves the sheet"
        assert box.x1 <= sheet.x1 + 0.5, f"{words!r} leaves the sheet"
        assert sheet.y0 - 0.5 <= box.y0, f"{words!r} leaves the sheet"
        assert box.y1 <= sheet.y1 + 0.5, f"{words!r} leaves the sheet"
    for (words, box), (others, other) in itertools.combinations(boxes, 2):
        across = min(box.x1, other.x1) - max(box.x0, other.x0)
        down = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert across <= 1 or down <= 1.5, f"{words!r} covers {others!r}"


def colours(artist):
    if isinstance(artist, Line2D):
        if artist.get_linestyle() != "None":
            yield artist.get_color()
        if artist.get_marker() != "None":
            yield from (artist.get_markerfacecolor(), artist.get_markeredgecolor())
    elif isinstance(artist, Patch):
        yield from (artist.get_facecolor(), artist.get_edgecolor())
    elif isinstance(artist, Collection):
        yield from (*artist.get_facecolor(), *artist.get_edgecolor())
    elif isinstance(artist, Text):
        yield artist.get_color()


@every_figure
def test_only_colours_of_the_palette_are_used(name):
    allowed = {colour.lower() for colour in (*PALETTE, *NEUTRAL)} | {"#ffffff"}
    picture = picture_of(name)
    unused = set()  # the marks that are switched off, and titles without words, keep matplotlib's black
    for axes in picture.axes:
        if not axes.axison:
            unused |= {id(child) for part in (axes.xaxis, axes.yaxis, *axes.spines.values()) for child in part.findobj(Artist)}
    used = set()
    for artist in picture.findobj(Artist):
        if id(artist) in unused or not artist.get_visible() or isinstance(artist, Axis | AxesImage):
            continue
        if isinstance(artist, Text) and not artist.get_text():
            continue
        for colour in colours(artist):
            opaque = not (isinstance(colour, str) and colour == "none") and (
                isinstance(colour, str) or len(colour) < 4 or colour[3] > 0
            )
            if opaque:
                used.add((to_hex(colour), type(artist).__name__))
    strays = {(colour, kind) for colour, kind in used if colour not in allowed}
    assert not strays
    assert used


# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009, severity 1.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def seen(colour, matrix):
    """CIELAB of a colour as it is seen with a deficiency."""
    coded = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    scaled = TO_XYZ @ np.clip(np.array(matrix) @ linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_palette_can_be_told_apart_by_the_colour_blind(deficiency):
    matrix = DEFICIENCIES[deficiency]
    for one, other in itertools.combinations(PALETTE, 2):
        assert np.linalg.norm(seen(one, matrix) - seen(other, matrix)) > 15, (one, other)


NETWORKS = {"TEACHER": style.TEACHER, "ALONE": style.ALONE, "KD": style.KD, "TTM": style.TTM, "WTTM": style.WTTM}


def test_every_network_has_one_colour_of_its_own():
    colours = [*NETWORKS.values(), style.STUDENT, style.UNIKD]
    assert len(set(colours)) == len(colours)


# What a line of the legend of a figure is called, and the network that it is.
@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("entropy", {"no teacher": "ALONE", "KD": "KD", "TTM": "TTM", "WTTM": "WTTM", "teacher": "TEACHER"}),
        pytest.param(
            "accuracy",
            {"teacher": "TEACHER", "student without": "ALONE", "KD": "KD", "TTM": "TTM", "WTTM": "WTTM"},
            marks=pytest.mark.long,
        ),
        pytest.param("embedding", {"teacher": "TEACHER", "student without": "ALONE"}, marks=pytest.mark.long),
    ],
)
def test_a_network_has_its_colour_in_every_figure(name, entries):
    (legend,) = picture_of(name).legends
    handles = dict(zip((text.get_text() for text in legend.get_texts()), legend.legend_handles, strict=True))
    for start, network in entries.items():
        found = [handle for words, handle in handles.items() if words.split(",")[0].startswith(start)]
        assert found, start
        assert to_hex(found[0].get_color()) == NETWORKS[network].lower(), start


def test_a_count_of_zero_stands_at_zero():
    axes = picture_of("coverage").axes[0]
    zeros = [row for row in table_of("coverage")["rows"] if row["possible"] == 0]
    marks = [line for one in picture_of("coverage").axes for line in one.lines if line.get_marker() in ("o", "s", "^", "D")]
    assert sum(line.get_xdata()[0] == 0 for line in marks) == len(zeros) > 0
    assert axes.get_xlim()[0] == 0
    assert "0" in [label.get_text() for label in axes.get_xticklabels()]
    histogram = picture_of("entropy").axes[2]
    assert histogram.get_ylim()[0] <= 0
    assert np.isfinite(histogram.transData.transform((0.1, 0.0))).all()
    bars = [patch for one in picture_of("framework").axes for patch in one.patches if patch.get_height() == 0]
    assert all(patch.get_linewidth() > 0 for patch in bars)


@pytest.mark.parametrize("ends", [(0.55, 0.74), (0.98, 1.03), (0.2, 3.0), (1e-5, 40.0), (7.0, 8000.0)])
def test_a_logarithmic_axis_has_three_numbers_however_short_it_is(ends):
    axes = Figure().subplots()
    axes.set(yscale="log", ylim=ends)
    log_marks(axes)
    shown = [place for place in axes.yaxis.get_majorticklocs() if ends[0] <= place <= ends[1]]
    assert 3 <= len(shown) <= 8
    words = [axes.yaxis.get_major_formatter()(place).replace("−", "-") for place in shown]
    assert words == [f"{place:g}" for place in shown]


@pytest.mark.parametrize(("least", "most"), [(0.05, 0.9), (0.1, 8.0), (10.0, 60.0), (0.001, 90.0)])
def test_an_axis_from_zero_has_a_zero_and_two_more_numbers(least, most):
    axes = Figure().subplots()
    axes.plot([0, 1], [0.0, most])
    from_zero(axes, "y", least)
    shown = [place for place in axes.yaxis.get_majorticklocs() if place <= axes.get_ylim()[1]]
    assert shown[0] == 0
    assert len(shown) >= 3
    assert min(shown[1:]) > least


def test_what_is_drawn_beside_a_mark_is_explained_in_the_figure():
    said = {name: " ".join(text.get_text() for text in texts_of(name)) for name in ("tightness", "coverage", "transport-map")}
    assert "median" in said["tightness"]
    assert "quartile" in said["tightness"]
    assert "no guarantee" in said["coverage"]
    assert "equal masses" in said["transport-map"]


@every_figure
def test_a_caption_says_what_the_numbers_say(name):
    text = figure_of(name).explained(table_of(name))
    assert text.startswith(figure_of(name).sentence[0].upper())
    assert max(map(len, text.splitlines())) <= 100
    assert text == figure_of(name).rendered(table_of(name), ["txt"])["txt"].decode()


def caption_of(name, table=None):
    return " ".join(figure_of(name).explained(table or table_of(name)).split())


def test_captions_say_what_the_picture_shows_that_the_paper_does_not():
    assert "WTTM's entropy is below TTM's here" in caption_of("entropy")
    assert "seed by seed; its sign is not decided by intervals" in caption_of("lambda-sweep")
    assert "cw2" in caption_of("accuracy")


def test_a_caption_follows_the_numbers():
    table = json.loads(json.dumps(table_of("entropy")))
    for student in table["students"]:
        if student["name"] == "wttm":
            student["entropy"]["mean"][-1] = 9.0
    assert "below TTM's" not in caption_of("entropy", table)
    assert "WTTM 9.00" in caption_of("entropy", table)
    table = json.loads(json.dumps(table_of("lambda-sweep")))
    table["gain"] = {"mean": 2.5, "half": 0.25, "decision": "a gain"}
    assert "CW₂ gains +2.50 ± 0.25 points, seed by seed; that is a gain by" in caption_of("lambda-sweep", table)


def test_names_are_unique_and_everything_is_said():
    assert len(set(NAMES)) == len(NAMES) == len(registry.MODULES)
    for figure in registry.figures():
        assert figure.sentence
        assert figure.source == "ours" or "arXiv" in figure.source


@pytest.mark.parametrize(
    ("name", "guess"), [("laddr", "ladder"), ("transport_map", "transport-map"), ("Sharpness", "sharpness")]
)
def test_a_wrong_name_is_answered_with_the_nearest(name, guess):
    with pytest.raises(InputError, match=f"there is no figure '{name}'; did you mean '{guess}'[?] figures are framework, "):
        registry.chosen([name])


def test_a_name_given_twice_is_drawn_once_and_in_order():
    assert [figure.name for figure in registry.chosen(["peers", "couplings", "peers"])] == ["couplings", "peers"]


def test_a_stored_table_that_is_missing_says_how_to_make_it(tmp_path):
    stored = StoredTable("sweep.parquet", "kd2m validate sweep")
    with pytest.raises(InputError, match=r"no sweep\.parquet ships; write it with `kd2m validate sweep` and name its folder"):
        stored.path(None)
    with pytest.raises(InputError, match=rf"there is no {tmp_path}/sweep\.parquet; write it with"):
        stored.path(tmp_path)
    (tmp_path / "sweep.parquet").touch()
    assert stored.path(tmp_path) == tmp_path / "sweep.parquet"


def test_nothing_is_drawn_where_a_file_could_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "couplings.pdf").mkdir()
    with pytest.raises(InputError, match=r"couplings\.pdf is a folder"):
        registry.write(figure_of("couplings"), tmp_path, PICTURES)
    assert [path.name for path in tmp_path.iterdir()] == ["couplings.pdf"]


@pytest.mark.long
def test_annotations_are_among_the_texts_that_are_checked():
    assert any(isinstance(text, Annotation) for text in texts_of("sharpness"))
