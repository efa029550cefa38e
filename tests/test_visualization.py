"""GIFs and the player draw joints where a simple camera sees them."""
import json
import math

import numpy as np
import pytest
from PIL import Image, ImageChops

from projects.stdcl.utils.skeleton_layout import LAYOUTS, SkeletonLayout
from projects.stdcl.visualization import skeleton_animation as scene
from projects.stdcl.visualization.animation_files import file_names
from projects.stdcl.visualization.colors import COLORS, PALETTE, assign_colors
from projects.stdcl.visualization.predictions import summarize
from projects.stdcl.visualization.skeleton_gif import (
    GAP,
    HEADER,
    PANEL,
    draw_frames,
    write_gif,
)
from projects.stdcl.visualization.skeleton_player import player_page
from tests.browser import needs_browser, run_in_browser

HAND = dict(name='hand', center=0,
            joint_names=['wrist', 'left thumb', 'right thumb', 'index tip'],
            edges=[(1, 0), (0, 2), (3, 2)])
FLAT = dict(HAND, name='flat hand', dims=2)
ALL = [*LAYOUTS.values(), SkeletonLayout(**HAND), SkeletonLayout(**FLAT)]
UCLA = LAYOUTS['nw-ucla']


def make(layout, persons=1, frames=3, seed=0):
    """Make joints that are far enough apart to be distinguished."""
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 2), -1).reshape(-1, 2)
    rng = np.random.default_rng(seed)
    data = np.empty((persons, frames, layout.num_joints, 3))
    for t in range(frames):
        places = rng.permutation(grid)[:persons * layout.num_joints]
        data[:, t, :, :2] = places.reshape(persons, -1, 2) + 0.1
    data[..., 2] = rng.uniform(0.5, 1, data.shape[:3])
    return data


def animate(layout, *datas, **kwargs):
    return scene.Animation('name', 'class', [
        scene.Panel('panel', scene.to_points(data, layout)) for data in datas],
        **kwargs)


def look(point, azimuth, elevation):
    """Return (right, up) of a point as seen from an azimuth and elevation."""
    a, e = math.radians(azimuth), math.radians(elevation)
    eye = (-math.sin(a) * math.cos(e), math.sin(e), -math.cos(a) * math.cos(e))
    ahead = [-x for x in eye]
    right = (-math.cos(a), 0, math.sin(a))
    above = np.cross(right, ahead)
    return (sum(p * r for p, r in zip(point, right)),
            sum(p * u for p, u in zip(point, above)))


def camera(data, layout, view):
    """Map (m, t, v) of each present joint to its position in the panel.

    (0, 0) is the center, and (1, 1) is the lower right corner.
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
                elif joint[2] > 0:
                    flat[m, t, v] = joint[0], -joint[1]
    rights, ups = zip(*flat.values())
    middle = (min(rights) + max(rights)) / 2, (min(ups) + max(ups)) / 2
    moved = {key: (x - middle[0], middle[1] - y)
             for key, (x, y) in flat.items()}
    radius = max(math.hypot(*xy) for xy in moved.values())
    return {key: (x / radius * scene.FILL, y / radius * scene.FILL)
            for key, (x, y) in moved.items()}


def expected_color(layout, person, joint):
    name = layout.joint_names[joint]
    side = {'left': 1, 'right': 2}.get(name.split()[0], 0)
    return PALETTE[person % len(PALETTE)][side]


def rgb(color):
    return tuple(bytes.fromhex(color[1:]))


def crop(image, index=0):
    left = GAP + index * (PANEL + GAP)
    return image.crop((left, HEADER, left + PANEL, HEADER + PANEL))


def colors_in(image):
    return {color for _, color in image.convert('RGB').getcolors(1 << 24)}


def test_shades_of_colors():
    many = list(assign_colors(range(22)).values())
    assert (many[7], many[14], many[21]) == ('#7fb8d8', '#003959', COLORS[0])


@pytest.mark.parametrize('view', [*scene.VIEWS.values(), (-70, 30),
                                  (200, -45)])
def test_projection_equals_the_camera(view):
    points = np.random.default_rng(0).normal(size=(2, 3, 3))
    ours = scene.project(points, *view)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(ours[index], look(points[index], *view),
                                   atol=1e-12)


@pytest.mark.parametrize('channels', [2, 3])
def test_points_of_two_dimensions(channels):
    layout = SkeletonLayout(**FLAT)
    data = make(layout, 2, 2)[..., :channels]
    data[1, 0, :, :2] = 0
    data[0, 1, 2, 0] = np.inf
    if channels == 3:
        data[0, 0, 1, 2] = 0
    points = scene.to_points(data, layout)
    for m, t, v in np.ndindex(2, 2, 4):
        missing = ((m, t) == (1, 0) or (m, t, v) == (0, 1, 2)
                   or channels == 3 and (m, t, v) == (0, 0, 1))
        expected = [np.nan] * 3 if missing else [
            -data[m, t, v, 0], -data[m, t, v, 1], 0]
        np.testing.assert_array_equal(points[m, t, v], expected)


@pytest.mark.parametrize('shape', [(3, 20, 3), (1, 3, 25, 3), (1, 3, 20, 2)])
def test_invalid_shapes_raise(shape):
    with pytest.raises(ValueError, match='20 joints, 3 channels'):
        scene.to_points(np.zeros(shape), UCLA)


def test_file_names_and_joints_of_an_annotation():
    assert file_names(['a/b', 'x-1']) == ['a_b', 'x-1']
    assert file_names(['a/b', 'A b', 'x-1']) == ['0_a_b', '1_A_b', '2_x-1']
    assert len(file_names(['é' * 300])[0].encode()) < 200  # Linux: below 256
    keypoint, score = np.ones((2, 3, 4, 2)), np.zeros((2, 3, 4))
    joints = scene.joints_of(dict(keypoint=keypoint, keypoint_score=score))
    assert joints.shape == (2, 3, 4, 3) and not joints[..., 2].any()
    assert scene.joints_of(dict(keypoint=keypoint)).shape == (2, 3, 4, 2)


def test_classes_are_shown_by_their_share_of_the_frames():
    assert summarize(dict(segments=[
        dict(class_name=name, start=start, end=end) for name, start, end in (
            ('a', 0, 9), ('b', 9, 10))]))[1].endswith(': a 90%, b 10%')


def test_sides_and_legend():
    layout = SkeletonLayout(**HAND)
    assert scene.joint_sides(layout) == [0, 1, 2, 0]
    assert scene.bone_sides(layout) == [1, 2, 2]
    across = SkeletonLayout(**dict(HAND, edges=[(1, 0), (2, 1), (3, 2)]))
    assert scene.bone_sides(across) == [1, 0, 2]
    one, two, five = (animate(layout, make(layout, persons))
                      for persons in (1, 2, 5))
    assert scene.legend(one, layout) == [*zip(('trunk', 'left', 'right'),
                                        PALETTE[0])]
    assert scene.legend(two, layout)[5] == ('person 2, right', PALETTE[1][2])
    assert len(scene.legend(five, layout)) == 12  # for the first four persons
    plain = SkeletonLayout('plain', ['a', 'b'], [(0, 1)], 1)
    assert scene.legend(animate(plain, make(plain)), plain) == []
    assert scene.legend(animate(plain, make(plain, 2)), plain)[1] == (
        'person 2, trunk', PALETTE[1][0])


@pytest.mark.parametrize('layout', ALL, ids=lambda layout: layout.name)
def test_joints_are_where_the_camera_sees_them(tmp_path, layout):
    view, persons = (10, 5), 2  # the view is ignored in two dimensions
    datas = [make(layout, persons, frames, seed=frames) for frames in (3, 2)]
    write_gif(tmp_path / 'new' / 'a.gif', animate(layout, *datas), layout,
              view)
    hits = 0
    with Image.open(tmp_path / 'new' / 'a.gif') as gif:
        assert (gif.n_frames, gif.info['loop'], gif.info['duration']) == (
            3, 0, 40)
        for step in range(3):
            gif.seek(step)
            image = gif.convert('RGB')
            for index, data in enumerate(datas):
                frame = (step * data.shape[1]) // 3
                seen = {(m, v): xy for (m, t, v), xy in camera(
                    data, layout, view).items() if t == frame}
                for (m, v), xy in seen.items():
                    if min(math.dist(xy, other) for key, other in
                           seen.items() if key != (m, v)) < 0.08:
                        continue  # may be hidden by another joint
                    x, y = (int(PANEL / 2 * (1 + place)) for place in xy)
                    assert crop(image, index).getpixel((x, y)) == (
                        pytest.approx(rgb(expected_color(layout, m, v)),
                                      abs=9)), (step, index, m, v)
                    hits += 1
    assert hits >= 0.9 * persons * layout.num_joints * 6


def test_animation_without_a_person_is_drawn():
    animation = animate(UCLA, np.zeros((1, 3, 20, 3)))
    assert player_page('title', [animation], UCLA, (0, 0))
    image, *others = draw_frames(animation, UCLA, (0, 0))
    assert len(others) == 2
    assert len(colors_in(crop(image))) == 1


def test_attention_and_timeline_are_drawn():
    points = scene.to_points(make(UCLA, 1, 1), UCLA)
    weights = np.zeros((1, 20))
    weights[0, 3] = 20
    plain, attentive, timed = (next(draw_frames(
        scene.Animation('a', 'b', [scene.Panel('c', points, chosen)],
                        timeline=timeline), UCLA, (0, 0)))
        for chosen, timeline in (
            (None, []), (weights, []),
            (None, [scene.Segment(0, 1, 'x', COLORS[2])])))
    changed = np.array(ImageChops.difference(plain, attentive)).any(axis=2)
    assert 0.001 < changed.mean() < 0.05
    assert timed.height > plain.height
    assert rgb(COLORS[2]) in colors_in(timed)


def data_of(page):
    """Read the data of a page, which must not need other files."""
    for outside in ('http:', 'https:', 'src=', 'href=', '@import', 'url('):
        assert outside not in page.replace('http://www.w3.org/2000/svg', '')
    return json.loads(page.split('id="data">')[1].split('</script>')[0])


@pytest.mark.parametrize('layout', ALL, ids=lambda layout: layout.name)
def test_page_contains_names_and_coordinates(layout):
    data = make(layout, 2, 3)
    data[1, 1] = 0
    animation = animate(layout, data, note='a note')
    animation.name = '</script><b>&$data'
    page = player_page('a <title>', [animation, animation], layout, (10, 5))
    assert page.count('a &lt;title&gt;') == 2
    page = data_of(page)
    assert [s['name'] for s in page['sequences']] == [animation.name] * 2
    assert page['view'] == ([10, 5] if layout.dims == 3 else [0, 0])
    assert [tuple(edge) for edge in page['edges']] == list(layout.edges)
    assert [PALETTE[0][side] for side in page['joint_sides']] == [
        expected_color(layout, 0, v) for v in range(layout.num_joints)]
    frames = page['sequences'][0]['panels'][0]['frames']
    assert frames[1][1] == [None] * layout.num_joints
    # coordinates are shifted and scaled
    told = np.array([frames[0][0], frames[2][0]], dtype=float) / 1000
    points = scene.to_points(data, layout)[0, [0, 2]]
    moved, wanted = (x - x[0, 0] for x in (told, points))
    scale = (moved * wanted).sum() / (wanted**2).sum()
    np.testing.assert_allclose(moved, scale * wanted, atol=2e-3)


@pytest.fixture
def player(tmp_path):
    weights = np.ones((2, 20))
    weights[0, 0] = 9
    points = scene.to_points(make(UCLA, 2, 10), UCLA)
    animations = [scene.Animation(
        name, 'wave', [scene.Panel('10 frames', points, weights)],
        timeline=[scene.Segment(0, 5, 'first', COLORS[1]),
                  scene.Segment(5, 10, 'second', COLORS[5], height)])
        for name, height in (('one', 1), ('two', 0.5))]
    (tmp_path / 'player.html').write_text(
        player_page('title', animations, UCLA, (30, 10)))
    return tmp_path / 'player.html'


@needs_browser
def test_player_draws_what_the_camera_sees(player):
    places, colors, radii = run_in_browser(player, '''
        query('#play').click();
        query('#scrub').value = 9;
        query('#scrub').dispatchEvent(new Event('input'));
        const frame = panels[0].frames[9], canvas = panels[0].canvas;
        const side = canvas.width, pixels = canvas.getContext('2d')
          .getImageData(0, 0, side, side).data;
        // what is drawn last is seen: the joints of the second person
        const colors = frame[1].map(joint => {
          const [x, y] = place(joint, side).map(Math.floor);
          return Array.from(pixels.slice(4 * (x + y * side)).slice(0, 3));
        });
        // in half panels from the corner
        return [frame.map(person => person.map(joint => place(joint, 2))),
                colors, panels[0].radii[0].slice(0, 2)];''')
    data = make(UCLA, 2, 10)
    seen = camera(data, UCLA, (30, 10))
    ours = np.array(places)
    twin = np.array([[seen[m, 9, v] for v in range(20)] for m in range(2)])
    ours, twin = ours - ours[0, 0], twin - twin[0, 0]
    scale = (ours * twin).sum() / (twin**2).sum()
    assert 0 < scale <= 1  # the player fits points into a ball, not a circle
    np.testing.assert_allclose(ours, scale * twin, atol=0.005)
    assert [tuple(color) for color in colors] == [
        rgb(expected_color(UCLA, 1, v)) for v in range(20)]
    assert radii == [3, 1]


@needs_browser
def test_player_plays_and_turns(player):
    done = run_in_browser(player, '''
        const done = {}, canvas = panels[0].canvas;
        const drag = (kind, x, y) => canvas.dispatchEvent(
          new PointerEvent(kind, {clientX: x, clientY: y}));
        const steps = [], press = key => document.body.dispatchEvent(
          new KeyboardEvent('keydown', {key, bubbles: true}));
        [['1', 0, 20, 40, 80], ['0.5', 0, 40, 80], ['4', 0, 20]].forEach(
          ([speed, ...times]) => {
            query('#speed').value = speed;
            [step, last] = [0, null];
            times.forEach(time => tick(1e6 + time));  // milliseconds
            steps.push(step);
          });
        done.played = steps;
        goTo(7);
        query('#next').click();
        press('ArrowRight');
        press('ArrowRight');  // this is the last frame
        query('#back').click();
        done.stepped = step;
        done.paused = [playing, query('#play').textContent];
        let picture = canvas.toDataURL();
        tick(2e6);
        done.still = canvas.toDataURL() === picture;
        query('#timeline').children[1].click();
        done.jumped = [step, query('#now').textContent];
        done.classes = query('#classes').textContent;
        picture = canvas.toDataURL();
        canvas.setPointerCapture = () => {};
        drag('pointerdown', 100, 100);
        drag('pointermove', 180, 130);
        done.view = view;
        done.turned = canvas.toDataURL() !== picture;
        canvas.dispatchEvent(new MouseEvent('dblclick'));
        done.back = canvas.toDataURL() === picture;
        query('#list').children[1].click();
        done.title = query('#title').textContent;
        return done;''')
    assert done == dict(
        played=[2, 1, 2], stepped=8, paused=[False, 'Play'], still=True,
        jumped=[5, 'second'], classes='firstsecond',
        view=[-10, 25],  # half a degree per pixel
        turned=True, back=True, title='twowave')
