"""Distance fields of characters, rendered from the fonts that matplotlib ships; kept in memory, never on disk."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kd2m_theory.errors import InputError

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Text faces with all of these characters; matplotlib's others hold mathematics or a part of the alphabet.
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
SIDE = 48  # pixels of a cell of the atlas
_FINER = 3  # characters are rendered so many times finer, for distances below a pixel
_CELL = 1.2  # side of a cell in units of the type size: the widest character and the deepest descender fit
_BASELINE = 0.75  # of the cell, from its top


@lru_cache(maxsize=2)
def atlas(count: int) -> Tensor:
    """Signed distance to the outline, positive inside, in sides of a cell: count × fonts × SIDE × SIDE float32.

    Characters stand on one baseline at one type size, so capitals stay larger than small letters, and are centred between
    their left and right ends. Distances make strokes thicker or thinner by an addition.

    Args:
        count: of the first characters of `CHARACTERS`.

    Raises:
        InputError: this matplotlib lacks one of the fonts.
    """
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    cells = np.empty((count, len(FONTS), SIDE, SIDE), dtype=np.float32)
    for f, name in enumerate(FONTS):
        path = folder / f"{name}.ttf"
        if not path.is_file():
            raise InputError(f"matplotlib's font {path} is missing; reinstall it: pip install --force-reinstall matplotlib")
        for c, character in enumerate(CHARACTERS[:count]):
            cells[c, f] = _distances(_ink(path, character))
    return torch.from_numpy(cells)


def _ink(path: Path, character: str) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """The character in its cell at the finer resolution."""
    from matplotlib.ft2font import FT2Font

    side = SIDE * _FINER
    font = FT2Font(str(path))
    font.set_size(side / _CELL, 72)  # at 72 dots per inch a point is a pixel
    font.set_text(character)
    font.draw_glyphs_to_bitmap(antialiased=True)
    image = np.asarray(font.get_image()) >= 128
    descent = round(font.get_descent() / 64)
    columns = np.flatnonzero(image.any(axis=0))
    image = image[:, columns[0] : columns[-1] + 1]
    top, left = round(_BASELINE * side) + descent - len(image), (side - image.shape[1]) // 2
    cell = np.zeros((side, side), dtype=bool)
    rows = slice(max(0, top), min(side, top + len(image)))
    cell[rows, max(0, left) : left + image.shape[1]] = image[rows.start - top : rows.stop - top, max(0, -left) :][:, :side]
    return cell


def _distances(ink: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    from scipy.ndimage import distance_transform_edt

    # The outline lies halfway between the centres of an inner and an outer pixel.
    signed = np.where(ink, distance_transform_edt(ink) - 0.5, 0.5 - distance_transform_edt(~ink))
    coarse = signed.reshape(SIDE, _FINER, SIDE, _FINER).mean(axis=(1, 3))
    return np.asarray(coarse / len(ink), dtype=np.float32)
