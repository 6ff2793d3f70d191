"""How figures look: made for a column of a paper, readable in grey and by colour-blind readers.

Sizes: 3.33 in is a column of ACM's ``acmart``, 7 in both. Fonts are embedded as TrueType (``pdf.fonttype`` 42), which
publishers ask for. Colours are seaborn's ``colorblind`` palette; hatches say the same a second time.
"""

import base64
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from itertools import accumulate, pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure

COLUMN_IN = 3.33
DOUBLE_COLUMN_IN = 7.0

PALETTE = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
"""The ``colorblind`` palette of seaborn 0.13, written out so that a figure doesn't depend on its version."""

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++", "oooo", "||||", "**")

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
LINESTYLES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2)))

PHASES = ("startup", "fetch", "exec", "store", "wait")
PHASE_LABELS = {"startup": "cold start", "fetch": "fetch", "exec": "execute", "store": "store", "wait": "wait"}
PHASE_COLORS = {"startup": "#d55e00", "fetch": "#56b4e9", "exec": "#0173b2", "store": "#029e73", "wait": "#c8c8c8"}
PHASE_HATCHES = {"startup": "////", "fetch": "....", "exec": "", "store": "\\\\\\\\", "wait": ""}

CONTENDED = "contended"
"""An execution that others held up: it looks like a phase of its own, since its length says something of the others."""
CONTENDED_COLOR = "#cc78bc"
CONTENDED_HATCH = "xxxx"

COPY = "copy"
"""An execution of another worker's task, by one that would have waited for its output."""
COPY_COLOR = "#ece133"
COPY_HATCH = "----"

PREWARM = "prewarm"
"""An empty invocation: no task ran in it."""
PREWARM_COLOR = "#fbafe4"
PREWARM_HATCH = "++++"

NARROW_IN = 5.0
"""Width of a figure below which titles take more lines."""
LINE_IN = 0.135
"""Height of a line of a title or a legend."""
_CHARACTER_IN = 0.056
"""Width of a character of a legend, on average."""
_HANDLE_IN = 0.31
"""Width of what stands beside a label in a legend, and of the space to the next."""

_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same figure on every machine
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.grid.axis": "y",
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.4,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.handleheight": 1.0,
    "legend.columnspacing": 1.0,
    "pdf.fonttype": 42,
    "svg.hashsalt": "faaslab",
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw what is inside in the style of a paper; the settings outside stay as they are."""
    with mpl.rc_context(_RC):
        yield


class PaperFigure(Figure):
    """A figure that shows itself in a notebook, once, and is known to nobody else.

    Figures made by pyplot are registered there until somebody closes them, and shown a second time by a notebook.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with paper_style():
            self.savefig(buffer, format="png", dpi=150)
        return buffer.getvalue()


def legend_above(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend over a figure, in as few lines as its width allows, and make the figure higher by them.

    Args:
        figure: The figure.
        handles: What has an entry; none: no legend.
    """
    widths_in = [_CHARACTER_IN * len(str(handle.get_label())) + _HANDLE_IN for handle in handles]
    width_in, height_in = figure.get_size_inches()
    for lines in range(1, len(handles) + 1):
        columns = math.ceil(len(handles) / lines)
        # As matplotlib fills columns: those that have one entry more come first.
        long, short = len(handles) % columns, len(handles) // columns
        ends = list(accumulate([short + 1] * long + [short] * (columns - long), initial=0))
        if sum(max(widths_in[start:end]) for start, end in pairwise(ends)) <= width_in or lines == len(handles):
            figure.set_size_inches(width_in, height_in + LINE_IN * lines)
            figure.legend(handles=handles, loc="outside upper center", ncols=columns)
            return


def figure_html(figure: PaperFigure, text: str) -> str:
    """Return a figure as an HTML element, for what shows tables and pictures in one cell.

    Args:
        figure: The figure.
        text: What it shows, for those who can't see it.
    """
    data = base64.b64encode(figure._repr_png_()).decode()
    width_px = round(figure.get_figwidth() * 100)
    return f'<img alt="{escape(text)}" style="width:{width_px}px;max-width:100%" src="data:image/png;base64,{data}">'
