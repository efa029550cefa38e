"""Skeleton layouts: the joints of a skeleton and their connections."""
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from numbers import Integral

import numpy as np

from .input_error import InputError

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class SkeletonLayout:
    """A skeleton of V joints, whose indices start at 0.

    >>> arm = SkeletonLayout(name='arm', center=0, edges=[(1, 0), (2, 1)],
    ...                      joint_names=['shoulder', 'elbow', 'hand'])
    >>> arm.num_joints
    3
    >>> arm.hops
    ((0, 1, 2), (1, 0, 1), (2, 1, 0))

    Args:
        name (str): Name of the layout.
        joint_names (sequence[str]): Names of the joints, in the order of the
            data. "left x" and "right x" are mirror images of each other.
        edges (sequence[tuple]): V - 1 (child, parent) pairs, which form a
            tree that connects all joints.
        center (int): Index of the root, the origin of relative coordinates.
        bones (sequence[tuple], optional): (child, parent) pairs of the bone
            stream. Defaults to ``edges``.
        parts (sequence[int], optional): Body part of each joint, for
            Hyperformer. Defaults to a single part.
        dims (int): Number of coordinates, 3 (x, y, z) or 2 (x, y). With 2, a
            third channel of the data is the confidence. Defaults to 3.

    Raises:
        InputError: An argument is invalid, or ``edges`` do not form a tree.
    """
    name: str
    joint_names: tuple[str, ...]
    edges: Pairs
    center: int
    bones: Pairs = None
    parts: tuple[int, ...] = None
    dims: int = 3

    def __post_init__(self) -> None:
        def freeze(name, value):
            object.__setattr__(self, name, value)

        freeze('joint_names', tuple(self.joint_names))
        freeze('edges', tuple(map(tuple, self.edges)))
        bones, parts = (() if value is None else value
                        for value in (self.bones, self.parts))
        freeze('bones', tuple(map(tuple, bones)) or self.edges)
        freeze('parts', tuple(parts) or (0, ) * self.num_joints)
        self._check()

    def _check(self) -> None:
        if self.num_joints < 2:
            self._fail(f'joint_names is {self.joint_names}', 'several names')
        joints = range(self.num_joints)
        for text in (self.name, *self.joint_names):
            # MMEngine would replace "{{...}}" in a config
            if not isinstance(text, str) or '{{' in text:
                self._fail(f'one name is {text!r}', 'a string without "{{"')
        if len(set(self.joint_names)) < self.num_joints:
            self._fail(f'joint_names is {self.joint_names}', 'distinct names')
        for name, pairs in dict(edges=self.edges, bones=self.bones).items():
            for pair in pairs:
                if len(pair) != 2 or not set(pair) <= set(joints):
                    self._fail(f'{name} contains {pair}', 'two joint indices '
                               f'from 0 to {self.num_joints - 1}')
        if self.center not in joints:
            self._fail(f'center is {self.center}', 'an index from 0 to '
                       f'{self.num_joints - 1}')
        if len(self.parts) != self.num_joints:
            self._fail(f'parts has {len(self.parts)} entries',
                       f'one for each of the {self.num_joints} joints')
        if self.dims not in (2, 3):
            self._fail(f'dims is {self.dims!r}', '2 or 3')
        # 1.0 and True equal 1, but are not valid indices of arrays
        for number in (self.center, self.dims, *self.parts,
                       *chain(*self.edges, *self.bones)):
            if not isinstance(number, Integral) or isinstance(number, bool):
                self._fail('center, dims, edges, bones or parts contains '
                           f'{number!r}', 'integers')
        reached = len(self.parents)
        if len(self.edges) != self.num_joints - 1 or (
                reached != self.num_joints):
            self._fail(f'edges has {len(self.edges)} pairs that connect '
                       f'{reached} joints to the center',
                       f'a tree of {self.num_joints - 1} pairs that connects '
                       f'all {self.num_joints} joints')
        children = [child for child, _ in self.bones]
        if len(set(children)) < len(children):
            name = 'edges' if self.bones == self.edges else 'bones'
            self._fail(f'the children in {name} are {children}',
                       'each joint at most once')

    def _fail(self, seen: str, expected: str) -> None:
        raise InputError(f'Skeleton layout "{self.name}": {seen}, expected '
                         f'{expected}.')

    @property
    def num_joints(self) -> int:
        """Number V of joints."""
        return len(self.joint_names)

    @cached_property
    def parents(self) -> dict[int, int]:
        """Parent of each joint in the tree rooted at ``center``.

        Parents precede their children. The parent of the center is -1.
        """
        neighbors = {joint: [] for joint in range(self.num_joints)}
        for child, parent in self.edges:
            neighbors[child].append(parent)
            neighbors[parent].append(child)
        parents, queue = {self.center: -1}, [self.center]
        for joint in queue:
            for other in neighbors[joint]:
                if other not in parents:
                    parents[other] = joint
                    queue.append(other)
        return parents

    @cached_property
    def hops(self) -> tuple[tuple[int, ...], ...]:
        """Number of edges between each pair of joints, as V rows of V."""
        from scipy.sparse import csgraph  # loads slowly
        adjacency = np.zeros((self.num_joints, self.num_joints))
        adjacency[tuple(zip(*self.edges))] = 1
        hops = csgraph.shortest_path(adjacency, directed=False)
        return tuple(map(tuple, hops.astype(int).tolist()))

    @cached_property
    def mirror(self) -> Pairs:
        """Pairs of joints whose names are "left x" and "right x"."""
        index = {name: joint for joint, name in enumerate(self.joint_names)}
        return tuple((joint, index[f'right {name[5:]}'])
                     for name, joint in index.items()
                     if name.startswith('left ')
                     and f'right {name[5:]}' in index)

    @classmethod
    def get(cls, layout: 'str | dict | SkeletonLayout'):
        """Look up a layout in :data:`LAYOUTS`, or build it from a dict.

        An unknown name or an invalid dict raises an ``InputError``.
        """
        if isinstance(layout, cls):
            return layout
        if isinstance(layout, str):
            if layout not in LAYOUTS:
                raise InputError(
                    f'Skeleton layout "{layout}" is unknown, expected one of '
                    f'{", ".join(LAYOUTS)}, or a dict with joint_names, edges '
                    'and center.')
            return LAYOUTS[layout]
        try:
            return cls(**{'name': 'custom', **layout})
        except TypeError as error:
            raise InputError(
                f'Skeleton layout {layout} is invalid: {error}. The '
                'fields joint_names, edges and center are required; name, '
                'bones, parts and dims are optional.') from None


def _pairs(text: str) -> Pairs:
    """Convert "2-1 3-2", which counts from 1, to ((1, 0), (2, 1))."""
    return tuple(tuple(int(joint) - 1 for joint in pair.split('-'))
                 for pair in text.split())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(','))


# the joints of Kinect v1, and the first joints of Kinect v2
_KINECT = ('base of spine, middle of spine, neck, head, left shoulder, '
           'left elbow, left wrist, left hand, right shoulder, right elbow, '
           'right wrist, right hand, left hip, left knee, left ankle, '
           'left foot, right hip, right knee, right ankle, right foot')
_NTU_BODY = ('1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 '
             '14-13 15-14 16-15 17-1 18-17 19-18 20-19 ')

LAYOUTS = {layout.name: layout for layout in (
    SkeletonLayout(
        name='nturgb+d',  # Kinect v2
        joint_names=_names(
            f'{_KINECT}, spine, left hand tip, left thumb, right hand tip, '
            'right thumb'),
        # hand tips and thumbs are joined to the hands, as in MMAction2's Graph
        edges=_pairs(_NTU_BODY + '22-8 23-8 24-12 25-12'),
        # as in CTR-GCN, 2S-AGCN and MMAction2's JointToBone
        bones=_pairs(_NTU_BODY + '22-23 23-8 24-25 25-12'),
        center=20,
        parts=(0, 4, 2, 2, 2, 2, 1, 1, 2, 2, 1, 1, 2, 3, 3, 3, 2, 3, 3, 3, 1,
               0, 1, 0, 1)),
    SkeletonLayout(
        name='nw-ucla',  # Kinect v1
        joint_names=_names(_KINECT),
        edges=_pairs('1-2 2-3 4-3 5-3 6-5 7-6 8-7 9-3 10-9 11-10 12-11 13-1 '
                     '14-13 15-14 16-15 17-1 18-17 19-18 20-19'),
        center=2,
        parts=(0, ) * 4 + (1, ) * 8 + (2, ) * 8),
    SkeletonLayout(
        name='coco',
        joint_names=_names(
            'nose, left eye, right eye, left ear, right ear, left shoulder, '
            'right shoulder, left elbow, right elbow, left wrist, '
            'right wrist, left hip, right hip, left knee, right knee, '
            'left ankle, right ankle'),
        edges=_pairs('16-14 14-12 17-15 15-13 12-6 13-7 10-8 8-6 11-9 9-7 '
                     '6-1 7-1 2-1 4-2 3-1 5-3'),
        # as in MMAction2's JointToBone: the nose is the parent of the hips
        bones=_pairs('2-1 3-1 4-2 5-3 6-1 7-1 8-6 9-7 10-8 11-9 12-1 13-1 '
                     '14-12 15-13 16-14 17-15'),
        center=0,
        parts=(0, ) * 5 + (1, ) * 6 + (2, ) * 6,
        dims=2),
    SkeletonLayout(
        name='openpose',
        joint_names=_names(
            'nose, neck, right shoulder, right elbow, right wrist, '
            'left shoulder, left elbow, left wrist, right hip, right knee, '
            'right ankle, left hip, left knee, left ankle, right eye, '
            'left eye, right ear, left ear'),
        edges=_pairs('5-4 4-3 8-7 7-6 14-13 13-12 11-10 10-9 12-6 9-3 6-2 '
                     '3-2 1-2 16-1 15-1 18-16 17-15'),
        # as in MMAction2's JointToBone, where the nose is the root
        bones=_pairs('2-1 3-2 4-3 5-4 6-2 7-6 8-7 9-3 10-9 11-10 12-6 13-12 '
                     '14-13 15-1 16-1 17-15 18-16'),
        center=1,
        parts=(0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0),
        dims=2),
    SkeletonLayout(
        name='jhmdb',
        joint_names=_names(
            'neck, belly, face, right shoulder, left shoulder, right hip, '
            'left hip, right elbow, left elbow, right knee, left knee, '
            'right wrist, left wrist, right ankle, left ankle'),
        edges=_pairs('1-2 6-2 7-2 3-1 4-1 5-1 8-4 9-5 10-6 11-7 12-8 13-9 '
                     '14-10 15-11'),
        center=1,
        parts=(0, 0, 0, 1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2),
        dims=2),
)}
