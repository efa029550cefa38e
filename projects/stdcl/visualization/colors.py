"""Colors that people with color blindness can distinguish."""
from collections.abc import Iterable
from itertools import cycle

# by Okabe and Ito (https://jfly.uni-koeln.de/color/), without black
COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00',
          '#f0e442')
# colors of the trunk, the left side and the right side of each person; the
# fifth person has the colors of the first
PALETTE = (('#2d3748', '#2b6cb0', '#c05621'),
           ('#4a3728', '#2f9e6e', '#b83280'),
           ('#34495a', '#0ba5b8', '#b7860b'),
           ('#3f3566', '#9575f0', '#b52a2a'))


def assign_colors(names: Iterable[str]) -> dict[str, str]:
    """Map distinct names to colors, which repeat after 21 names.

    The second seven colors are lighter, and the third seven are darker.
    """
    shades = ['#' + bytes((part + gray) // 2 for part
                          in bytes.fromhex(color[1:])).hex()
              for gray in (255, 0) for color in COLORS]
    return dict(zip(dict.fromkeys(names), cycle([*COLORS, *shades])))
