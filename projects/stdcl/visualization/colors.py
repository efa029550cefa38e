"""Colors that people with color blindness can distinguish."""
from collections.abc import Iterable
from itertools import chain, cycle

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
    shades = [COLORS, *(
        ['#' + ''.join(f'{(int(color[i:i + 2], 16) + other) // 2:02x}'
                       for i in (1, 3, 5)) for color in COLORS]
        for other in (255, 0))]
    return dict(zip(dict.fromkeys(names), cycle(chain(*shades))))
