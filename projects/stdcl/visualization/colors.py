"""Colors that people with color blindness can tell apart, too."""
from typing import Dict, Iterable

# by Okabe and Ito (https://jfly.uni-koeln.de/color/), without black
COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00',
          '#f0e442')
# colors of the trunk, left and right of each person; the fifth person has the
# colors of the first
PALETTE = (('#2d3748', '#2b6cb0', '#c05621'),
           ('#4a3728', '#2f9e6e', '#b83280'),
           ('#34495a', '#0ba5b8', '#b7860b'),
           ('#3f3566', '#9575f0', '#b52a2a'))


def assign_colors(names: Iterable[str]) -> Dict[str, str]:
    """Map distinct names to colors, which repeat after seven names."""
    return {name: COLORS[index % len(COLORS)]
            for index, name in enumerate(dict.fromkeys(names))}
