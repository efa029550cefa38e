"""``Graph`` knows three skeletons by name; ours are added to them.

MMAction2's ``Graph`` asserts that a layout is 'nturgb+d', 'openpose', 'coco'
or a dict of its own form, so NW-UCLA has no name there (MMAction2 issues 1438
and 2060 are from users with other joints). A layout that it does not know is
looked up in :mod:`projects.stdcl.utils.skeleton_layout` first.
"""
import functools
from typing import Union

from mmaction.models.utils import Graph

from ..utils.skeleton_layout import SkeletonLayout

KNOWN_UPSTREAM = ('openpose', 'nturgb+d', 'coco')


def graph_layout(layout: Union[str, dict]) -> Union[str, dict]:
    """A ``graph_cfg.layout`` in a form that ``Graph`` understands."""
    if layout in KNOWN_UPSTREAM or (
            isinstance(layout, dict) and 'num_node' in layout):
        return layout
    layout = SkeletonLayout.get(layout)
    return dict(num_node=layout.num_joints, inward=list(layout.edges),
                center=layout.center)


def apply() -> None:
    """Wrap ``Graph``'s constructor."""
    upstream_init = Graph.__init__

    @functools.wraps(upstream_init)
    def init(self, layout='coco', *args, **kwargs):
        upstream_init(self, graph_layout(layout), *args, **kwargs)

    Graph.__init__ = init
