"""The same figure for a dark page: neutral colours and letters turned, data colours kept."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.typing import ColorType

from agg2exp_core.figures.style import COHORT_COLOURS, FAINT, GRID, INK, MISSING, SUBDUED, group_ink
from agg2exp_core.labels import GROUP_COLOURS

PAPER = "#12161b"
"""Colour of a dark page."""
ON_DATA = "on data"
"""Mark (``gid``) of letters on a coloured cell, which stay as they are."""

_TURNED = {
    "white": PAPER,
    "black": "#e6eaee",
    INK: "#e6eaee",
    SUBDUED: "#aeb8c2",
    FAINT: "#66717d",
    GRID: "#2a323b",
    MISSING: "#1d242c",
    COHORT_COLOURS[0]: "#56b4e9",
    COHORT_COLOURS[1]: "#f0905a",
}


def darken(figure: Figure) -> Figure:
    """Turn a figure, in place, to a dark page, and return it.

    Pathologies, black in the paper, become nearly white; the other group colours stay, and letters in
    them are lightened instead of darkened.
    """
    turned = {}
    for colour in GROUP_COLOURS.values():
        red, green, blue = (0.35 + 0.65 * part for part in to_rgb(colour))
        turned[to_hex(group_ink(colour))] = to_hex((red, green, blue))
    turned |= {to_hex(old): new for old, new in _TURNED.items()}
    figure.set_facecolor(PAPER)
    for artist in figure.findobj():
        _turn(artist, turned)
    return figure


def _turn(artist: Artist, turned: dict[str, str]) -> None:
    if isinstance(artist, (Text, Line2D)) and artist.get_gid() != ON_DATA:
        artist.set_color(turned.get(to_hex(artist.get_color()), artist.get_color()))
    elif isinstance(artist, (LineCollection, PathCollection)):
        artist.set_edgecolor(
            [_keep_alpha(colour, turned) for colour in np.atleast_2d(artist.get_edgecolor())]
        )
        artist.set_facecolor(
            [_keep_alpha(colour, turned) for colour in np.atleast_2d(artist.get_facecolor())]
        )
    elif isinstance(artist, Patch):
        if (face := to_rgba(artist.get_facecolor()))[3]:
            artist.set_facecolor(_keep_alpha(face, turned))
        if (edge := to_rgba(artist.get_edgecolor()))[3]:
            artist.set_edgecolor(_keep_alpha(edge, turned))


def _keep_alpha(colour: ColorType, turned: dict[str, str]) -> tuple[float, float, float, float]:
    """Return the turned colour with the alpha that it had."""
    return to_rgba(turned.get(to_hex(colour), colour), to_rgba(colour)[3])
