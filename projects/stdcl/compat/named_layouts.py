"""Make MMAction2's ``Graph`` accept the layouts of this package.

``Graph`` accepts only 'nturgb+d', 'openpose', 'coco' and dicts in its own
format, so it rejects NW-UCLA, for example (see also MMAction2 issues 1438 and
2060). This patch converts all layouts with :meth:`.SkeletonLayout.get`.
"""
import functools

from mmaction.models.utils import Graph

from ..utils.skeleton_layout import SkeletonLayout


def apply() -> None:
    """Patch the constructor of ``Graph``."""
    upstream_init = Graph.__init__

    @functools.wraps(upstream_init)
    def init(self, layout='coco', *args, **kwargs):
        self.skeleton = None
        if not isinstance(layout, dict) or 'num_node' not in layout:
            self.skeleton = skeleton = SkeletonLayout.get(layout)
            layout = dict(num_node=skeleton.num_joints,
                          inward=[*skeleton.edges], center=skeleton.center)
        upstream_init(self, layout, *args, **kwargs)

    Graph.__init__ = init
