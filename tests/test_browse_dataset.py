"""tools/visualization: what is drawn, and where."""
import json
import math
import pickle
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.utils import get_installed_path
from PIL import Image

from projects.stdcl.utils.skeleton_layout import LAYOUTS, SkeletonLayout
from projects.stdcl.visualization import draw_skeleton
from projects.stdcl.visualization.draw_skeleton import (
    FILL,
    GAP,
    PALETTE,
    PANEL,
    VIEWS,
    Animation,
    Panel,
    bone_sides,
    draw_frames,
    image_size,
    joint_sides,
    parse_view,
    project,
    to_points,
    write_gif,
    write_html,
)
from tools.visualization import browse_dataset
from tools.visualization.browse_dataset import BrowseDataset

TOOL = 'tools/visualization/browse_dataset.py'
SYNTHETIC = 'configs/stdcl/stdcl-stgcn_synthetic.py'
NAME = 'joint-u52-65e_nw-ucla-xview-keypoint-3d.py'
NW_UCLA = f'configs/stgcn/stgcn_1xb16-{NAME}'
RELATIVE = 'configs/hyperformer/hyperformer_1xb16-joint-u52-150e_' \
    'nw-ucla-xview-keypoint-3d.py'
HAND = dict(name='hand', center=0,
            joint_names=['wrist', 'left thumb', 'right thumb', 'index tip'],
            edges=[(1, 0), (0, 2), (3, 2)])
FLAT = dict(HAND, name='flat hand', dims=2)
ALL = [*LAYOUTS.values(), SkeletonLayout(**HAND), SkeletonLayout(**FLAT)]


def by_name(layout):
    return layout.name


def make(layout, persons=1, frames=3, seed=0):
    """Joints far enough from each other to be told apart in a picture."""
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 2), -1).reshape(-1, 2)
    rng = np.random.default_rng(seed)
    data = np.empty((persons, frames, layout.num_joints, 3))
    for t in range(frames):
        places = rng.permutation(grid)[:persons * layout.num_joints]
        data[:, t, :, :2] = places.reshape(persons, -1, 2) + 0.1
    data[..., 2] = rng.uniform(0.5, 1, data.shape[:3])
    return data


def animate(layout, *datas, **kwargs):
    return Animation('name', 'class', [Panel('panel', to_points(d, layout))
                                       for d in datas], **kwargs)


# --- the slow twin: a camera, a joint at a time -----------------------------


def look(point, azimuth, elevation):
    """To the right and up, seen by a viewer at azimuth and elevation.

    The sensor of a Kinect looks along z; whoever faces it has their left at
    -x, for x points to the sensor's left.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    eye = (-math.sin(a) * math.cos(e), math.sin(e),
           -math.cos(a) * math.cos(e))
    ahead = [-x for x in eye]
    right = (-math.cos(a), 0, math.sin(a))  # level, across ahead
    above = np.cross(right, ahead)
    return (sum(p * r for p, r in zip(point, right)),
            sum(p * u for p, u in zip(point, above)))


def camera(data, layout, view):
    """Pixels of each joint that is there, in the panel's own square.

    Returns:
        dict: (m, t, v) -> (x, y), from the middle of the panel, in half
        panels.
    """
    flat = {}
    for m, person in enumerate(data):
        for t, frame in enumerate(person):
            if all(x == 0 for joint in frame for x in joint[:layout.dims]):
                continue
            for v, joint in enumerate(frame):
                if any(math.isnan(x) for x in joint[:layout.dims]):
                    continue
                if layout.dims == 3:
                    flat[m, t, v] = look(joint, *view)
                elif len(joint) == 2 or joint[2] > 0:
                    flat[m, t, v] = joint[0], -joint[1]
    if not flat:
        return {}
    rights, ups = zip(*flat.values())
    middle = (min(rights) + max(rights)) / 2, (min(ups) + max(ups)) / 2
    moved = {key: (x - middle[0], middle[1] - y)
             for key, (x, y) in flat.items()}
    radius = max(math.hypot(*xy) for xy in moved.values()) or 1
    return {key: (x / radius * FILL, y / radius * FILL)
            for key, (x, y) in moved.items()}


def expected_color(layout, person, joint):
    name = layout.joint_names[joint]
    side = {'left': 1, 'right': 2}.get(name.split()[0], 0)
    return PALETTE[person % len(PALETTE)][side]


def rgb(color):
    return tuple(bytes.fromhex(color[1:]))


def count_colors(image):
    return {color for _, color in image.convert('RGB').getcolors(1 << 24)}


# --- projection -------------------------------------------------------------


@pytest.mark.parametrize('view', [*VIEWS.values(), (-70, 30), (200, -45)])
def test_projection_is_the_cameras(view):
    points = np.random.default_rng(0).normal(size=(2, 3, 4, 3))
    ours = project(points, *view)
    for index in np.ndindex(2, 3, 4):
        np.testing.assert_allclose(ours[index], look(points[index], *view),
                                   atol=1e-12)


def test_the_views_are_what_they_are_called():
    head, left, toes = [0, 1, 0], [-1, 0, 0], [0, 0, -1]
    np.testing.assert_allclose(  # someone who faces the sensor
        project(np.array([head, left, toes]), *VIEWS['front']),
        [[0, 1], [1, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(
        project(np.array([head, left, toes]), *VIEWS['back']),
        [[0, 1], [-1, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(  # from their left they look to the left
        project(np.array([head, left, toes]), *VIEWS['side']),
        [[0, 1], [0, 0], [-1, 0]], atol=1e-12)
    np.testing.assert_allclose(
        project(np.array([head, left, toes]), *VIEWS['top']),
        [[0, 0], [1, 0], [0, -1]], atol=1e-12)


def test_views_are_read():
    assert parse_view('side') == VIEWS['side']
    assert parse_view('-35,15.5') == (-35, 15.5)
    for text in ('', 'sideways', '1', '1,2,3', 'a,b'):
        with pytest.raises(ValueError, match=f'view is "{text}", expected'):
            parse_view(text)


# --- pictures ---------------------------------------------------------------


@pytest.mark.parametrize('layout', ALL, ids=by_name)
@pytest.mark.parametrize('persons', [1, 2])
def test_joints_are_where_the_camera_sees_them(tmp_path, layout, persons):
    view = 10, 5  # which two dimensions ignore
    first, second = (make(layout, persons, frames, seed=frames)
                     for frames in (3, 2))
    path = tmp_path / 'new' / 'a.gif'
    write_gif(path, animate(layout, first, second), layout, view)
    with Image.open(path) as gif:
        assert gif.n_frames == 3
        assert gif.size == image_size(2)
        hits = 0
        for step in range(3):
            gif.seek(step)
            image = gif.convert('RGB')
            for panel, data in enumerate((first, second)):
                frame = (step * data.shape[1]) // 3
                left = GAP + panel * (PANEL + GAP)
                bottom = image.height - draw_skeleton.FOOTER
                seen = {(m, v): xy for (m, t, v), xy in camera(
                    data, layout, view).items() if t == frame}
                for (m, v), (x, y) in seen.items():
                    if min(math.dist((x, y), other) for key, other in
                           seen.items() if key != (m, v)) < 0.08:
                        continue  # another joint is drawn over it
                    x = left + PANEL / 2 * (1 + x)
                    y = bottom - PANEL + PANEL / 2 * (1 + y)
                    assert image.getpixel((int(x), int(y))) == rgb(
                        expected_color(layout, m, v)), (step, panel, m, v)
                    hits += 1
    assert hits >= 0.9 * persons * layout.num_joints * 6


@pytest.mark.parametrize('layout', ALL, ids=by_name)
def test_bones_join_joints_in_the_colour_of_their_side(layout):
    names = layout.joint_names
    for (i, j), side in zip(layout.edges, bone_sides(layout)):
        sides = {names[k].split()[0] for k in (i, j)} & {'left', 'right'}
        assert side == (('left', 'right').index(*sides) + 1
                        if len(sides) == 1 else 0)
    # alone in a picture, its middle has its colour
    for bone in range(len(layout.edges)):
        i, j = layout.edges[bone]
        data = np.full((1, 1, layout.num_joints, 3), np.nan)
        data[0, 0, [i, j]] = [[-1, -1, 1], [1, 1, 1]]
        image = next(draw_frames(animate(layout, data), layout, (0, 0)))
        middle = (GAP + PANEL // 2,
                  image.height - draw_skeleton.FOOTER - PANEL // 2)
        assert image.getpixel(middle) == rgb(
            PALETTE[0][bone_sides(layout)[bone]])


def test_persons_differ_and_further_ones_start_anew():
    layout = LAYOUTS['nw-ucla']
    colors = sum(PALETTE, ())
    assert len(set(colors)) == len(colors)
    data = make(layout, 3)
    image = next(draw_frames(animate(layout, data), layout, (0, 0)))
    assert {rgb(c) for c in sum(PALETTE[:3], ())} <= count_colors(image)
    assert rgb(PALETTE[3][0]) not in count_colors(image)
    five = np.tile(make(layout, 1), (5, 1, 1, 1))
    five[:4] = 0
    image = next(draw_frames(animate(layout, five), layout, (0, 0)))
    assert rgb(PALETTE[0][1]) in count_colors(image)


def panel_colors(image):
    left, low = GAP, image.height - draw_skeleton.FOOTER
    return count_colors(image.crop((left, low - PANEL, left + PANEL, low)))


def test_missing_persons_and_joints_are_not_drawn():
    layout = LAYOUTS['nw-ucla']
    data = make(layout, 2, 3)
    data[1, 1] = 0
    data[:, 2] = np.nan
    frames = list(draw_frames(animate(layout, data), layout, (0, 0)))
    trunks = [rgb(PALETTE[person][0]) for person in (0, 1)]
    for frame, drawn in zip(frames, ([True, True], [True, False],
                                     [False, False])):
        assert [trunk in panel_colors(frame) for trunk in trunks] == drawn
    # what is missing does not change the scale either
    alone = to_points(data[:1], layout)[:, 1]
    both = to_points(data, layout)
    np.testing.assert_array_equal(both[:1, 1], alone)
    assert np.isnan(both[1, 1]).all() and np.isnan(both[:, 2]).all()


@pytest.mark.parametrize('channels', [2, 3])
def test_points_of_two_dimensions(channels):
    layout = SkeletonLayout(**FLAT)
    data = make(layout, 2, 2)[..., :channels]
    data[1, 0, :, :2] = 0
    data[0, 1, 2, 0] = np.inf
    if channels == 3:
        data[0, 0, 1, 2] = 0
    points = to_points(data, layout)
    for m, t, v in np.ndindex(2, 2, 4):
        missing = ((m, t) == (1, 0) or (m, t, v) == (0, 1, 2)
                   or channels == 3 and (m, t, v) == (0, 0, 1))
        expected = [np.nan] * 3 if missing else [
            -data[m, t, v, 0], -data[m, t, v, 1], 0]
        np.testing.assert_array_equal(points[m, t, v], expected)


@pytest.mark.parametrize('data, title', [
    (np.zeros((1, 3, 20, 3)), 'zero'), (np.zeros((1, 0, 20, 3)), 'empty'),
    (np.full((2, 1, 20, 3), np.nan), 'nan'), (np.ones((1, 1, 20, 3)), 'one'),
    (np.zeros((0, 2, 20, 3)), 'nobody')])
def test_nothing_to_draw_is_no_error(tmp_path, data, title):
    layout = LAYOUTS['nw-ucla']
    animation = animate(layout, data)
    write_gif(tmp_path / 'a.gif', animation, layout, (0, 0))
    write_html(tmp_path / 'a.html', title, [animation], layout, (0, 0))
    with Image.open(tmp_path / 'a.gif') as gif:
        assert gif.n_frames == max(1, data.shape[1])
        drawn = rgb(PALETTE[0][2]) in panel_colors(gif.convert('RGB'))
    assert drawn == (title == 'one')


def test_scale_is_the_same_in_all_frames():
    layout = LAYOUTS['nw-ucla']
    data = make(layout, 1, 3)
    data[:, 1] *= 0.5
    pixels = draw_skeleton.to_pixels(to_points(data, layout), (0, 0), 0)
    spread = [np.ptp(pixels[0, t], axis=0) for t in range(3)]
    wanted = [np.ptp(data[0, t, :, :2], axis=0) for t in range(3)]
    ratio = np.array(spread) / wanted
    np.testing.assert_allclose(ratio, np.full_like(ratio, ratio[0, 0]))


def test_every_frame_has_the_same_colours(tmp_path):
    """A still skeleton does not flicker; only the counter changes."""
    layout = LAYOUTS['nw-ucla']
    data = np.repeat(make(layout, 2, 1), 12, axis=1)
    write_gif(tmp_path / 'a.gif', animate(layout, data), layout, (0, 0))
    with Image.open(tmp_path / 'a.gif') as gif:
        assert gif.n_frames == 12
        assert gif.info['loop'] == 0
        assert gif.info['duration'] == draw_skeleton.FRAME_TIME
        low = gif.height - draw_skeleton.FOOTER
        box = (GAP, low - PANEL, GAP + PANEL, low)
        crops = []
        for step in range(12):
            gif.seek(step)
            crops.append(gif.convert('RGB').crop(box).tobytes())
    assert len(set(crops)) == 1
    drawn = next(draw_frames(animate(layout, data), layout, (0, 0)))
    told = np.frombuffer(crops[0], np.uint8).astype(int)
    wanted = np.frombuffer(drawn.crop(box).tobytes(), np.uint8)
    assert abs(told - wanted).mean() < 0.5  # of 255


def test_long_titles_stay_in_the_picture():
    layout = LAYOUTS['nw-ucla']
    animation = animate(layout, make(layout))
    plain = next(draw_frames(animation, layout, (0, 0)))
    animation.name = animation.note = animation.class_name = 'name ' * 40
    animation.panels[0].caption = 'caption ' * 20
    image = next(draw_frames(animation, layout, (0, 0)))
    assert image.size == plain.size
    margin = image.crop((image.width - GAP + 2, 0, *image.size))
    assert count_colors(margin) == {(255, 255, 255)}


def test_no_half_written_file(tmp_path, monkeypatch):
    layout = LAYOUTS['nw-ucla']
    animation = animate(layout, make(layout, 1, 3))
    path = tmp_path / 'a.gif'
    path.write_text('old')
    drawn = draw_skeleton._draw_persons
    calls = []

    def fail(*args):
        calls.append(1)
        if len(calls) > 1:
            raise OSError('no space')
        drawn(*args)

    monkeypatch.setattr(draw_skeleton, '_draw_persons', fail)
    with pytest.raises(OSError, match='no space'):
        write_gif(path, animation, layout, (0, 0))
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


# --- the page ---------------------------------------------------------------


class Page(HTMLParser):
    """Content of the elements; balanced tags."""
    VOID = {'meta', 'input'}

    def __init__(self, text):
        super().__init__()
        self.open, self.content = [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append((tag, dict(attrs).get('type')))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.content.setdefault(self.open[-1], []).append(data)


def read_page(path):
    text = path.read_text(encoding='utf-8')
    for outside in ('http:', 'https:', 'src=', 'href=', '@import', 'url('):
        assert outside not in text, outside
    content = Page(text).content
    return (json.loads(''.join(content['script', 'application/json'])),
            ''.join(content['script', None]))


@pytest.mark.parametrize('layout', ALL, ids=by_name)
def test_page_holds_names_and_places(tmp_path, layout):
    data = make(layout, 2, 3)
    data[1, 1] = 0
    animation = animate(layout, data, note='a note')
    animation.name = '</script><b>&@DATA'
    write_html(tmp_path / 'a.html', 'a <title>', [animation, animation],
               layout, (10, 5))
    page, _ = read_page(tmp_path / 'a.html')
    assert [s['name'] for s in page['sequences']] == [animation.name] * 2
    sequence = page['sequences'][0]
    assert (sequence['class_name'], sequence['note'], sequence['steps']) == (
        'class', 'a note', 3)
    assert page['turns'] == (layout.dims == 3)
    assert page['view'] == ([10, 5] if layout.dims == 3 else [0, 0])
    assert [tuple(edge) for edge in page['edges']] == list(layout.edges)
    for v in range(layout.num_joints):
        assert PALETTE[0][page['joint_sides'][v]] == expected_color(
            layout, 0, v)
    frames = sequence['panels'][0]['frames']
    assert frames[1][1] == [None] * layout.num_joints
    # places are the data, shifted and scaled alike
    told = np.array([frames[0][0], frames[2][0]], dtype=float) / 1000
    points = to_points(data, layout)[0, [0, 2]]
    moved, wanted = (x - x[0, 0] for x in (told, points))
    scale = (moved * wanted).sum() / (wanted**2).sum()
    np.testing.assert_allclose(moved, scale * wanted, atol=2e-3)
    largest = max(np.linalg.norm(joint) for frame in frames
                  for person in frame for joint in person if joint)
    assert largest == pytest.approx(1000, abs=1)


PLAYER = '''
const script = require('fs').readFileSync(process.argv[1], 'utf8');
const [data, code] = JSON.parse(script);
const drawn = [], nodes = {};
let tick;
const context = new Proxy({}, {get: (target, name) =>
  name in target ? target[name] : (...args) =>
    drawn.push([name, target.fillStyle, target.strokeStyle, ...args])});
function node() {
  const self = {children: [], style: {}, clientWidth: 320,
    set textContent(text) { self.text = text; self.children.length = 0; },
    get textContent() { return self.text; },
    appendChild: child => { self.children.push(child); },
    append: text => { self.text = text; },
    setAttribute: () => {}, setPointerCapture: () => {},
    getContext: () => context};
  return self;
}
global.window = {devicePixelRatio: 1};
global.requestAnimationFrame = callback => { tick = callback; };
global.document = {createElement: node, getElementById: id =>
  id === 'data' ? {textContent: data} : nodes[id] = nodes[id] || node()};
(0, eval)(code);
const arcs = () => drawn.splice(0).filter(([name]) => name === 'arc')
  .map(([, color, , x, y]) => [color, x, y]);
const lines = drawn => drawn.flatMap(([name, , color, ...end], i) =>
  name === 'lineTo' ? [[color, drawn[i - 1].slice(3), end]] : []);
const result = {list: nodes.list.children.map(button => button.text),
  legend: nodes.legend.children.map(item => item.text),
  lines: lines(drawn), frames: [arcs()]};
tick(1000); result.frames.push(arcs());
nodes.scrub.oninput({target: {value: '2'}}); result.frames.push(arcs());
result.paused = nodes.play.text; tick(2000); result.idle = arcs();
const canvas = nodes.panels.children[0].children[1];
if (canvas.onpointerdown) {
  canvas.onpointerdown({clientX: 0, clientY: 0});
  canvas.onpointermove({clientX: -40, clientY: 20});
  result.turned = arcs();
  canvas.ondblclick(); result.back = arcs();
}
nodes.list.children[1].onclick(); result.second = nodes.title.text;
result.single = nodes.legend.children.map(item => item.text);
console.log(JSON.stringify(result));
'''


@pytest.mark.skipif(not shutil.which('node'), reason='no Node.js')
@pytest.mark.parametrize('layout', [LAYOUTS['coco'], LAYOUTS['nw-ucla']],
                         ids=by_name)
def test_player_draws_what_the_camera_sees(tmp_path, layout):
    data = make(layout, 2, 3)
    data[1, 1] = 0
    if layout.dims == 3:
        data[..., 2] *= 5
    animation = animate(layout, data)
    other = animate(layout, make(layout, 1, 2))
    other.name = 'other'
    write_html(tmp_path / 'a.html', 'title', [animation, other], layout,
               (30, 10))
    page, code = read_page(tmp_path / 'a.html')
    (tmp_path / 'page.json').write_text(json.dumps([json.dumps(page), code]))
    done = subprocess.run(['node', '-e', PLAYER, tmp_path / 'page.json'],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result['list'] == ['name', 'other']
    assert result['legend'] == [
        f'person {person}, {side}' for person in (1, 2)
        for side in ('trunk', 'left', 'right')]
    assert result['single'] == ['trunk', 'left', 'right']
    assert (result['paused'], result['second']) == ('Play', 'other')
    assert result['idle'] == []

    def check(arcs, frame, view):
        """Arcs are the camera's picture, shifted and scaled alike."""
        seen = {key: xy for key, xy in camera(data, layout, view).items()
                if key[1] == frame}
        assert [arc[0] for arc in arcs] == [
            expected_color(layout, m, v) for m, _, v in seen]
        ours = np.array([arc[1:] for arc in arcs])
        twin = np.array(list(seen.values()))
        assert abs(ours - 160).max() <= 160 * FILL + 1
        ours, twin = ours - ours[0], twin - twin[0]
        scale = (ours * twin).sum() / (twin**2).sum()
        assert scale > 0
        np.testing.assert_allclose(ours, scale * twin, atol=0.6)

    # bones, of the first frame, lead from joint to joint
    ends = np.array([arc[1:] for arc in result['frames'][0]]).reshape(
        2, layout.num_joints, 2)
    assert [line[0] for line in result['lines']] == [
        PALETTE[m][side] for m in (0, 1) for side in bone_sides(layout)]
    np.testing.assert_array_equal(
        [line[1:] for line in result['lines']],
        [ends[m, [i, j]] for m in (0, 1) for i, j in layout.edges])

    for frame, arcs in enumerate(result['frames']):
        check(arcs, frame, (30, 10))
    assert ('turned' in result) == (layout.dims == 3)
    if layout.dims == 3:  # half a degree a pixel, as if one held it
        check(result['turned'], 2, (50, 20))
        check(result['back'], 2, (30, 10))


# --- the data set -----------------------------------------------------------


def nw_ucla(root, ann_file, config=NW_UCLA, **options):
    cfg = Config.fromfile(root / config)
    cfg.train_dataloader.dataset.dataset.ann_file = ann_file
    cfg.test_dataloader.dataset.ann_file = ann_file
    cfg.merge_from_dict(options)
    return cfg


def rewrite(path, change):
    with open(path, 'rb') as file:
        content = pickle.load(file)
    change(content)
    with open(path, 'wb') as file:
        pickle.dump(content, file)


def test_before_is_the_file_and_after_the_pipeline(root, tiny_annotations):
    path = tiny_annotations(num=5, classes=3)
    rewrite(path, lambda c: c.update(classes=['sit', 'stand']))
    with open(path, 'rb') as file:
        annotations = pickle.load(file)['annotations']
    dataset = BrowseDataset(nw_ucla(root, path), 'test')
    assert len(dataset) == 5
    for index, annotation in enumerate(annotations):
        animation = dataset.animate(index)
        before, after = animation.panels
        np.testing.assert_array_equal(before.points, annotation['keypoint'])
        assert before.caption == f'before (1, {20 + index}, 20, 3)'
        assert after.caption == 'after (1, 1, 52, 20, 3)'
        picked = np.linspace(0, 19 + index, 52).astype(int)
        x = annotation['keypoint']
        low, high = x.min((0, 1, 2)), x.max((0, 1, 2))
        np.testing.assert_allclose(
            after.points, ((x - low) / (high - low) * 2 - 1)[:, picked],
            atol=1e-5)
        assert animation.name == annotation['frame_dir']
        assert animation.class_name == ['sit (0)', 'stand (1)', 'class 2'][
            index % 3]


def test_class_names_of_the_file_and_of_the_data_set(root, tiny_annotations):
    path = tiny_annotations(num=1)
    rewrite(path, lambda c: c.update(classes=['sit']))
    cfg = nw_ucla(root, path)
    part = cfg.train_dataloader.dataset.dataset
    part.type = 'PoseDataset'  # which knows no classes
    assert BrowseDataset(cfg, 'train').animate(0).class_name == 'sit (0)'
    cfg = Config.fromfile(root / SYNTHETIC)
    cfg.train_dataloader.dataset.num_sequences = 1
    dataset = BrowseDataset(cfg, 'train')
    name = dataset.parts[0][0].metainfo['classes'][0]
    assert dataset.animate(0).class_name == f'{name} (0)'


def test_random_transforms_follow_the_seed_alone(root, tiny_annotations):
    cfg = nw_ucla(root, tiny_annotations(num=5))
    first, second = (BrowseDataset(cfg, 'train') for _ in range(2))
    first.animate(0)  # draws that the next must not depend on
    a, b = (dataset.animate(3, seed=1).panels[1].points
            for dataset in (first, second))
    np.testing.assert_array_equal(a, b)
    c = first.animate(3, seed=2).panels[1].points
    assert not np.array_equal(a, c)


def test_sequences_draw_differently(root, tiny_annotations):
    path = tiny_annotations(num=2)
    rewrite(path, lambda c: c['annotations'][1].update(
        {name: c['annotations'][0][name]
         for name in ('keypoint', 'total_frames')}))
    dataset = BrowseDataset(nw_ucla(root, path), 'train')
    first, second = (dataset.animate(index).panels for index in range(2))
    np.testing.assert_array_equal(first[0].points, second[0].points)
    assert not np.array_equal(first[1].points, second[1].points)


def test_sequences_are_found_and_drawn(root, tiny_annotations):
    dataset = BrowseDataset(nw_ucla(root, tiny_annotations(num=9)), 'train')
    assert len(dataset) == 9  # RepeatDataset is seen through
    assert dataset.find(['tiny.pkl_007', 'tiny.pkl_002']) == [7, 2]
    with pytest.raises(ValueError, match='no sequence "tiny.pkl_07".*'
                       'Nearest of 9: tiny.pkl_007'):
        dataset.find(['tiny.pkl_07'])
    with pytest.raises(ValueError, match='"zzz".*Nearest of 9: tiny.pkl_000'):
        dataset.find(['zzz'])
    drawn = dataset.draw(4, 0)
    assert len(set(drawn)) == 4 and drawn == dataset.draw(4, 0)
    assert {tuple(dataset.draw(4, seed)) for seed in range(9)} != {
        tuple(drawn)}
    assert dataset.draw(99, 0) == list(range(9))


def test_only_what_is_shown_is_kept_and_read_once(
        root, tiny_annotations, monkeypatch):
    paths = [tiny_annotations(num=num, name=name)
             for num, name in ((9, 'a.pkl'), (7, 'b.pkl'))]
    cfg = nw_ucla(root, paths[0])
    part = cfg.train_dataloader.dataset.dataset
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[
            part, dict(part, ann_file=paths[1]), dict(part)])
    reads = []
    load = browse_dataset.safe_pickle.load
    monkeypatch.setattr(browse_dataset, 'safe_pickle', SimpleNamespace(
        load=lambda path: reads.append(path) or load(path)))
    # in any order, and of both files
    names = ['b.pkl_001', 'a.pkl_005', 'a.pkl_002']
    dataset = BrowseDataset(cfg, 'train', names=names)
    assert dataset.indices == [10, 5, 2]
    assert reads == paths
    assert [list(dataset.files[path]['annotations']) for path in paths] == [
        ['a.pkl_002', 'a.pkl_005'], ['b.pkl_001']]
    for index, name in zip(dataset.indices, names):
        animation = dataset.animate(index)
        assert animation.name == name
        with open(paths[name.startswith('b')], 'rb') as file:
            raw = pickle.load(file)['annotations'][int(name[-3:])]
        np.testing.assert_array_equal(animation.panels[0].points,
                                      raw['keypoint'])  # not prepared
    drawn = BrowseDataset(cfg, 'train', num=4, seed=3)
    assert drawn.indices == dataset.draw(4, 3)
    shown = {path: {drawn._name(index) for index in drawn.indices
                    if drawn._name(index)[:5] == path[-5:]} for path in paths}
    assert {path: set(file['annotations'])
            for path, file in drawn.files.items()} == shown


def test_names_are_found_without_coordinates(root, tiny_annotations,
                                             monkeypatch):
    dataset = BrowseDataset(nw_ucla(root, tiny_annotations(num=9)), 'train')

    def fail(*_):
        raise AssertionError('coordinates were copied')

    monkeypatch.setattr(type(dataset.parts[0][0]), 'get_data_info', fail)
    assert dataset.find(['tiny.pkl_007']) == [7]


def test_parts_of_a_concatenation_are_told_apart(root, tiny_annotations):
    paths = [tiny_annotations(num=num, name=name)
             for num, name in ((4, 'a.pkl'), (3, 'b.pkl'))]
    cfg = nw_ucla(root, paths[0])
    part = cfg.train_dataloader.dataset.dataset
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[part, dict(part, ann_file=paths[1])])
    dataset = BrowseDataset(cfg, 'train')
    assert len(dataset) == 7
    assert [dataset.animate(i).name for i in (3, 4)] == ['a.pkl_003',
                                                         'b.pkl_000']
    assert dataset.find(['b.pkl_001']) == [5]


def test_what_the_model_gets(root, tiny_annotations):
    path = tiny_annotations(num=3)
    cfg = nw_ucla(root, path, RELATIVE)
    before, after, model = BrowseDataset(
        cfg, 'test', streams=True).animate(0).panels
    center = after.points[:, :, 2:3]
    expected = after.points - center
    expected[:, :, 2:3] = center
    np.testing.assert_allclose(model.points, expected, atol=1e-6)
    assert model.caption == 'model (1, 1, 52, 20, 3)'
    cfg.model.data_preprocessor.stream = 'bone'
    animation = BrowseDataset(cfg, 'test', streams=True).animate(0)
    assert len(animation.panels) == 2
    assert 'stream "bone", which is not drawn' in animation.note
    animation = BrowseDataset(cfg, 'test').animate(0)
    assert (len(animation.panels), animation.note) == (2, '')
    animation = BrowseDataset(nw_ucla(root, path), 'test',
                              streams=True).animate(0)
    assert len(animation.panels) == 2
    assert animation.note == 'The model gets what is after the pipeline.'
    del cfg.model['data_preprocessor']
    with pytest.raises(ValueError, match='no model.data_preprocessor'):
        BrowseDataset(cfg, 'test', 'nw-ucla', streams=True)


def test_streams_of_the_pipeline_are_not_taken_for_places(
        root, tiny_annotations):
    cfg = nw_ucla(root, tiny_annotations(num=3, joints=25))
    step = dict(type='GenSkeFeat', dataset='nturgb+d', feats=['b'])
    cfg.test_dataloader.dataset.pipeline.insert(0, step)
    cfg.model.data_preprocessor.layout = 'nturgb+d'
    animation = BrowseDataset(cfg, 'test').animate(0)
    assert [panel.caption for panel in animation.panels] == [
        'before (1, 20, 25, 3)']
    assert 'GenSkeFeat(b) (1, 1, 52, 25, 3), which is not' in animation.note
    step['feats'] = ['j']
    cfg.test_dataloader.dataset.pipeline[0] = step
    assert len(BrowseDataset(cfg, 'test').animate(0).panels) == 2


def test_mmaction2s_own_config_and_confidence(root, tiny_annotations):
    path = tiny_annotations(num=2, joints=17, persons=2, channels=2,
                            score=True, split='xsub_train')
    folder = get_installed_path('mmaction')
    cfg = Config.fromfile(
        f'{folder}/.mim/configs/skeleton/stgcn/'
        'stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-2d.py')
    cfg.test_dataloader.dataset.ann_file = path
    animation = BrowseDataset(cfg, 'test').animate(0)
    assert [panel.caption for panel in animation.panels] == [
        'before (2, 20, 17, 3)', 'after (10, 2, 100, 17, 3), clip 1']
    clips = DATASETS.build(cfg.test_dataloader.dataset)[0]['inputs']
    assert not any(torch.equal(clips[0], clip) for clip in clips[1:])
    layout = LAYOUTS['coco']
    np.testing.assert_array_equal(animation.panels[1].points,
                                  to_points(clips[0].numpy(), layout))


def test_label_of_several_classes():
    name = browse_dataset._class_name
    assert name(dict(label=[0, 3]), ['a', 'b']) == 'a (0), class 3'
    assert name(dict(label=torch.tensor(1)), ['a', 'b']) == 'b (1)'
    assert name({}, ['a']) == 'no class'


@pytest.mark.parametrize('change, message', [
    (dict(joints=25), '_000: the data have 25 joints, but the layout '
     '"nw-ucla" has 20'),
    (dict(channels=2), 'a joint has 2 channels, but the layout "nw-ucla" has '
     '3 dimensions'),
    (dict(options={'model.data_preprocessor.layout': 'ntu'}),
     'layout "ntu" is unknown. Known are'),
    (dict(options={'model': dict(type='RecognizerGCN')}),
     'has no layout in'),
    (dict(options={'test_dataloader.dataset.ann_file': 'none/here.pkl'}),
     "test_dataloader.dataset: ann_file is 'none/here.pkl', which does not"),
    (dict(options={'test_dataloader': None}),
     'test_dataloader.dataset is not there'),
    (dict(options={'test_dataloader.dataset.pipeline.2.num_person': 'one'}),
     'the pipeline fails with .*Error'),
    (dict(options={'test_dataloader.dataset.pipeline': [
        dict(type='PoseDecode'), dict(type='PackActionInputs')]}),
     r'the pipeline gives shape \(1, 20, 20, 3\), expected'),
])
def test_what_does_not_fit_is_named(root, tiny_annotations, change, message):
    form = dict(change)
    options = dict(form.pop('options', {}))
    cfg = nw_ucla(root, tiny_annotations(num=2, **form))
    for name in {'model', 'test_dataloader'} & set(options):
        cfg[name] = options.pop(name)  # whole
    cfg.merge_from_dict(options)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        BrowseDataset(cfg, 'test').animate(0)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_layout_of_the_annotation_file_and_of_a_json_file(
        root, tiny_annotations, tmp_path):
    path = tiny_annotations(num=2, joints=4)
    rewrite(path, lambda c: c.update(layout=HAND))
    cfg = nw_ucla(root, path)
    cfg.model = dict(type='RecognizerGCN')
    assert BrowseDataset(cfg, 'test').layout == SkeletonLayout(**HAND)
    file = tmp_path / 'flat.json'
    file.write_text(json.dumps(dict(HAND, name='other')))
    read = browse_dataset.read_layout(str(file))
    cfg.model = dict(data_preprocessor=dict(layout='nw-ucla'))
    assert BrowseDataset(cfg, 'test', read).layout.name == 'other'
    file.write_text('[1]')
    with pytest.raises(ValueError, match='holds a list, expected an object'):
        browse_dataset.read_layout(str(file))
    file.write_text('{')
    with pytest.raises(ValueError, match='flat.json cannot be read'):
        browse_dataset.read_layout(str(file))
    with pytest.raises(ValueError, match='none.json cannot be read'):
        browse_dataset.read_layout('none.json')


def test_joints_must_be_there():
    with pytest.raises(ValueError, match='no "keypoint", only label, x'):
        browse_dataset._joints(dict(label=1, x=2))
    with pytest.raises(ValueError, match=r'shape \(3, 20, 3\), expected'):
        to_points(np.zeros((3, 20, 3)), LAYOUTS['nw-ucla'])


def test_sides_of_the_joints():
    layout = SkeletonLayout(**HAND)
    assert joint_sides(layout) == [0, 1, 2, 0]
    assert bone_sides(layout) == [1, 2, 2]
    across = SkeletonLayout(**dict(HAND, edges=[(1, 0), (2, 1), (3, 2)]))
    assert bone_sides(across) == [1, 0, 2]


# --- the command ------------------------------------------------------------


def command(root, *args):
    return subprocess.run([sys.executable, root / TOOL, *map(str, args)],
                          capture_output=True, text=True, cwd=root)


def test_command_on_synthetic_data(root, tmp_path):
    out = tmp_path / 'out'
    done = command(root, SYNTHETIC, '--num', 2, '--out-dir', out, '--view',
                   'side', '--cfg-options',
                   'train_dataloader.dataset.num_sequences=20')
    assert done.returncode == 0, done.stderr
    written = sorted(map(str, out.iterdir()))
    assert sorted(done.stdout.split()) == written and len(written) == 2
    with Image.open(written[0]) as gif:
        assert gif.size == image_size(2) and 40 <= gif.n_frames <= 90
        assert rgb(PALETTE[0][1]) in panel_colors(gif.convert('RGB'))


def test_command_on_nw_uclas_format(root, tiny_annotations, tmp_path):
    path, out = tiny_annotations(num=12), tmp_path / 'out'
    config = root / NW_UCLA
    done = command(
        root, config, '--format', 'html', '--num', 5, '--out-dir', out,
        '--streams', '--cfg-options',
        f'train_dataloader.dataset.dataset.ann_file={path}')
    assert done.returncode == 0, done.stderr
    file, = out.iterdir()
    assert done.stdout == f'{file}\n'
    assert file.name == f'{config.stem}_train.html'
    page, _ = read_page(file)
    assert len({sequence['name'] for sequence in page['sequences']}) == 5


def test_command_refuses(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    few = 'train_dataloader.dataset.num_sequences=5',
    gone = 'train_dataloader.dataset.dataset.ann_file=none.pkl',
    for args, options, message in (
            (['none.py'], few, 'none.py'),
            ([NW_UCLA], gone, "ann_file is 'none.pkl', which does not"),
            ([SYNTHETIC, '--names', 'none'], few, 'no sequence "none"'),
            ([SYNTHETIC, '--layout', 'coco'], few,
             '20 joints.*"coco" has 17'),
            ([SYNTHETIC, '--layout', 'cocoa'], few, '"cocoa" is unknown'),
            ([SYNTHETIC, '--view', 'down'], few, 'the view is "down"'),
            ([SYNTHETIC, '--num', '0'], few, 'invalid positive value')):
        monkeypatch.setattr(sys, 'argv', [
            'browse_dataset.py', *args, '--out-dir', str(tmp_path / 'out'),
            '--cfg-options', *options])
        with pytest.raises(SystemExit) as caught:
            browse_dataset.main()
        said = f'{caught.value} {capsys.readouterr().err}'
        assert 'error: ' in said and re.search(message, said), said
        assert not (tmp_path / 'out').exists()


def test_names_that_collide_lose_nothing(root, tiny_annotations, tmp_path,
                                         capsys):
    path = tiny_annotations(num=2)

    def collide(content):
        names = ['a/b', 'a b']
        for name, annotation in zip(names, content['annotations']):
            annotation['frame_dir'] = name
        content['split'] = dict.fromkeys(content['split'], names)

    rewrite(path, collide)
    dataset = BrowseDataset(nw_ucla(root, path), 'test')
    browse_dataset.browse(dataset, tmp_path / 'out', 'gif', 'title', (0, 0))
    assert capsys.readouterr().out.split() == [
        str(tmp_path / 'out' / name) for name in ('a_b.gif', 'a_b_1.gif')]
    assert len(list((tmp_path / 'out').iterdir())) == 2


def test_real_data(root, reference, tmp_path):
    source = reference / 'data/nw_ucla/all_sqe.zip'
    path, out = tmp_path / 'nw_ucla.pkl', tmp_path / 'out'
    subprocess.run([sys.executable, root / 'tools/data/nw_ucla.py', source,
                    path], check=True, capture_output=True)
    dataset = BrowseDataset(nw_ucla(root, str(path)), 'train',
                            names=['a01_s01_e00_v01'])
    index, = dataset.indices
    animation = dataset.animate(index)
    assert animation.class_name == 'pick up with one hand (0)'
    browse_dataset.browse(dataset, out, 'gif', 'title', (0, 0))
    with Image.open(out / 'a01_s01_e00_v01.gif') as gif:
        total = animation.panels[0].points.shape[1]
        assert gif.n_frames == max(52, total)
        assert rgb(PALETTE[0][1]) in panel_colors(gif.convert('RGB'))
    # the head is above the feet
    pixels = draw_skeleton.to_pixels(animation.panels[0].points, (0, 0), 0)
    assert (pixels[0, :, 3, 1] < pixels[0, :, [15, 19], 1]).all()
