"""Colors that most people with a color vision deficiency can tell apart.

They are the schemes "bright" and "light" of Paul Tol
(https://sronpersonalpages.nl/~pault/), without gray and in a different order.
"""
from typing import Dict, Iterable

DARK = ('#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377')
# backgrounds of black text
LIGHT = ('#77aadd', '#eedd88', '#44bb99', '#ffaabb', '#bbcc33', '#ee8866',
         '#99ddff', '#aaaa00')


def light_colors(names: Iterable[str]) -> Dict[str, str]:
    """Map distinct names to light colors, which repeat after eight names."""
    return {name: LIGHT[index % len(LIGHT)]
            for index, name in enumerate(dict.fromkeys(names))}
