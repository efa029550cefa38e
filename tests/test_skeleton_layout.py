import numpy as np
import pytest
from mmaction.models.utils import Graph

from projects.stdcl.utils.skeleton_layout import LAYOUTS, SkeletonLayout

HAND = dict(name='hand', center=0,
            joint_names=['wrist', 'thumb', 'index', 'index tip'],
            edges=[(1, 0), (2, 0), (3, 2)])


@pytest.mark.parametrize('name', ['nturgb+d', 'coco', 'openpose'])
def test_equals_mmaction2(name):
    layout, graph = LAYOUTS[name], Graph(name)
    assert layout.num_joints == graph.num_node
    assert sorted(layout.edges) == sorted(graph.inward)
    assert layout.center == graph.center


@pytest.mark.parametrize('name', LAYOUTS)
def test_layout_is_a_tree_with_body_parts(name):
    layout = LAYOUTS[name]
    assert len(layout.bones) == layout.num_joints - 1
    mirrored = [joint for pair in layout.mirror for joint in pair]
    assert len(mirrored) == len(set(mirrored)) >= 12
    for left, right in layout.mirror:
        assert layout.joint_names[left][5:] == layout.joint_names[right][6:]
        assert layout.parts[left] == layout.parts[right]
    assert LAYOUTS['nturgb+d'].parts == (
        0, 4, *[2] * 4, 1, 1, 2, 2, 1, 1, *[2, 3, 3, 3] * 2, *[1, 0] * 2, 1)
    assert LAYOUTS['nw-ucla'].parts == (0, ) * 4 + (1, ) * 8 + (2, ) * 8


def test_a_dict_in_a_config_is_a_layout():
    layout = SkeletonLayout.get({**HAND, 'bones': np.array(HAND['edges']),
                                 'parts': np.zeros(4, int)})
    assert layout.parents == {0: -1, 1: 0, 2: 0, 3: 2}
    assert layout.bones == layout.edges and layout.parts == (0, ) * 4
    assert layout == SkeletonLayout.get({**HAND, 'bones': [], 'parts': []})


@pytest.mark.parametrize('change, message', [
    (dict(edges=[(1, 0), (2, 0)]), 'edges has 2 pairs that connect 3'),
    (dict(edges=[(1, 0), (2, 0), (4, 2)]), r'edges contains \(4, 2\)'),
    (dict(edges=[(1, 0), (2, 1), (0, 2)]), 'edges has 3 pairs that connect 3'),
    (dict(edges=[(1, 0), (1, 2), (3, 2)]),
     r'children in edges are \[1, 1, 3\], expected each joint at most once'),
    (dict(bones=[(1, 0), (1, 2)]), r'children in bones are \[1, 1\]'),
    (dict(center=4), 'center is 4, expected an index from 0 to 3'),
    (dict(parts=[0, 1]), 'parts has 2 entries, expected one for each of'),
    (dict(dims='2'), "dims is '2', expected 2 or 3"),
    (dict(dims=2.0), 'contains 2.0, expected integers'),
    (dict(joint=1), 'unexpected keyword'),
])
def test_inconsistent_layouts_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SkeletonLayout.get({**HAND, **change})
