"""Make MMAction2's ``Graph`` accept the layouts of this package.

``Graph`` accepts only 'nturgb+d', 'openpose', 'coco' and dicts in its own
format, so it rejects NW-UCLA, for example (see also MMAction2 issues 1438 and
2060). This patch converts other layouts with :meth:`.SkeletonLayout.get`.
"""
import functools

from mmaction.models.utils import Graph

from ..utils.skeleton_layout import SkeletonLayout

KNOWN_UPSTREAM = ('openpose', 'nturgb+d', 'coco')


def graph_layout(layout: str | dict) -> str | dict:
    """Convert a ``graph_cfg.layout`` to a form that ``Graph`` accepts."""
    if layout in KNOWN_UPSTREAM or (
            isinstance(layout, dict) and 'num_node' in layout):
        return layout
    layout = SkeletonLayout.get(layout)
    return dict(num_node=layout.num_joints, inward=list(layout.edges),
                center=layout.center)


def apply() -> None:
    """Patch the constructor of ``Graph``."""
    upstream_init = Graph.__init__

    @functools.wraps(upstream_init)
    def init(self, layout='coco', *args, **kwargs):
        upstream_init(self, graph_layout(layout), *args, **kwargs)
        self.skeleton = None if isinstance(self.layout, dict) and (
            self.layout is layout) else SkeletonLayout.get(layout)

    Graph.__init__ = init
