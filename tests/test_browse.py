"""The data set browser shows sequences before and after the pipeline."""
from functools import partial

import mmengine
import numpy as np
import pytest
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.utils import get_installed_path
from PIL import Image

from projects.stdcl.catalogue import find_config
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import LAYOUTS
from projects.stdcl.visualization import skeleton_animation as scene
from projects.stdcl.visualization.browse import DatasetBrowser
from tests.test_visualization import data_of

TOOL = 'tools/visualization/browse_dataset.py'
NW_UCLA = find_config('stgcn', 'nw-ucla-xview', stdcl=False)
NAME_TWO = partial(dict.update, classes=['sit', 'stand'])
SYNTHETIC = find_config('stgcn', 'synthetic', stdcl=True)


def nw_ucla(ann_file):
    cfg = Config.fromfile(NW_UCLA)
    cfg.train_dataloader.dataset.dataset.ann_file = ann_file
    cfg.test_dataloader.dataset.ann_file = ann_file
    return cfg


def test_panels_show_the_file_and_the_pipeline_output(tiny_annotations):
    path = tiny_annotations(num=5, classes=3, change=NAME_TWO)
    annotations = mmengine.load(path)['annotations']
    cfg = nw_ucla(path)
    browser = DatasetBrowser(cfg, 'test')
    assert browser.layout is LAYOUTS['nw-ucla']
    for index, annotation in enumerate(annotations):
        animation = browser.animate(index)
        before, after = animation.panels
        x = annotation['keypoint']
        np.testing.assert_array_equal(before.points, x)
        assert before.caption == f'before (1, {20 + index}, 20, 3)'
        assert after.caption == f'after (1, 1, {cfg.clip_len}, 20, 3)'
        picked = np.linspace(0, 19 + index, cfg.clip_len).astype(int)
        low, high = x.min((0, 1, 2)), x.max((0, 1, 2))
        np.testing.assert_allclose(
            after.points, ((x - low) / (high - low) * 2 - 1)[:, picked],
            atol=1e-5)
        assert (animation.name, animation.class_name, animation.note) == (
            annotation['frame_dir'],
            ['sit (0)', 'stand (1)', 'class (2)'][index % 3], '')


def test_random_transforms_depend_on_seed_and_index(tiny_annotations):
    path = tiny_annotations(num=2, change=lambda c: c['annotations'][1].update(
        {name: c['annotations'][0][name]
         for name in ('keypoint', 'total_frames')}))
    first, second = (DatasetBrowser(nw_ucla(path)) for _ in range(2))
    first.animate(0)  # its random draws must not affect the next animation
    a, b, seed, index = (browser.animate(*which).panels[1].points
                         for browser, which in (
        (first, (1, 1)), (second, (1, 1)), (first, (1, 2)), (first, (0, 1))))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, seed) and not np.array_equal(a, index)


def test_sequences_of_wrapped_data_sets_are_chosen(tiny_annotations):
    paths = [
        tiny_annotations(num=5, name='a.pkl', classes=4, change=NAME_TWO),
        tiny_annotations(num=4, name='b.pkl', classes=4)]
    cfg = nw_ucla(paths[0])
    part = cfg.train_dataloader.dataset.dataset
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[
        # some wrappers have a pipeline of their own
        dict(type='RepeatDataset', times=3, pipeline=part.pipeline[2:],
             dataset=dict(part, pipeline=part.pipeline[:2])),
        dict(part, ann_file=paths[1])])
    browser = DatasetBrowser(cfg)
    assert browser.choose() == list(range(9))
    assert browser.choose(['b.pkl_001', 'a.pkl_004']) == [6, 4]
    assert browser.animate(6).name == 'b.pkl_001'
    assert browser.animate(0).panels[1].caption == (
        f'after (1, 1, {cfg.clip_len}, 20, 3)')
    assert browser.choose(classes=['stand', '3']) == [1, 3, 8]
    assert len(set(browser.choose(num=4))) == 4
    assert len({tuple(browser.choose(num=4, seed=seed))
                for seed in range(9)}) > 1
    with pytest.raises(InputError, match='no sequence "a.pkl_04", expected'):
        browser.choose(['a.pkl_04'])
    with pytest.raises(InputError, match='no class "stan".* 0, sit'):
        browser.choose(classes=['stan'])
    assert len(browser.choose(num=2, seed=-1)) == 2
    with pytest.raises(InputError, match='num is -3, expected a positive'):
        browser.choose(num=-3)
    browser.sequences[0].classes['0'] = '3'  # a name, not the number
    assert browser.choose(classes=['3']) == [0]


def test_absent_persons_are_left_out(tiny_annotations):
    """PreNormalize3D accepts two persons; training leaves out the others."""
    cfg = nw_ucla(tiny_annotations(num=1, change=lambda content: content[
        'annotations'][0].update(keypoint=np.concatenate([
            content['annotations'][0]['keypoint'], np.zeros((2, 20, 20, 3))])
        )))
    cfg.test_dataloader.dataset.pipeline[0] = dict(
        type='PreNormalize3D', zaxis=[0, 1], xaxis=[8, 4])
    before, after = DatasetBrowser(cfg, 'test').animate(0).panels
    assert len(before.points) == 3 and len(after.points) == 1


@pytest.mark.parametrize('up', 'xyz')
def test_people_stand_upright(tiny_annotations, up):
    """RandomView names the vertical axis; PreNormalize3D rotates it to z."""
    cfg = nw_ucla(tiny_annotations(num=1))
    cfg.train_dataloader.dataset.dataset.pipeline[0].up = up
    for after in (up, 'z'):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        panels = DatasetBrowser(cfg, 'test').animate(0).panels
        raw = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=[]))
        for panel, data, axis in zip(panels, (
                raw.get_data_info(0)['keypoint'], dataset[0]['inputs'][0]),
                (up, after)):
            np.testing.assert_array_equal(panel.points[..., 1],
                                          data[..., 'xyz'.index(axis)])
        cfg.test_dataloader.dataset.pipeline.insert(
            0, dict(type='PreNormalize3D'))
    # the right shoulder of a person who faces the viewer is on the left
    left, right = scene.project(panels[1].points[0, 0, [4, 8]],
                                *scene.VIEWS['front'])
    assert right[0] < left[0] - 0.1


def test_config_of_mmaction2(tiny_annotations):
    """2D joints are drawn; for bones, a note explains what is missing."""
    path = tiny_annotations(num=2, joints=17, persons=2, channels=2,
                            score=True, split='xsub_train')
    cfg = Config.fromfile(
        f'{get_installed_path("mmaction")}/.mim/configs/skeleton/stgcn/'
        'stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-2d.py')
    cfg.test_dataloader.dataset.ann_file = path
    animation = DatasetBrowser(cfg, 'test').animate(0)
    assert [panel.caption for panel in animation.panels] == [
        'before (2, 20, 17, 3)', 'after (10, 2, 100, 17, 3), clip 1']
    clips = DATASETS.build(cfg.test_dataloader.dataset)[0]['inputs']
    np.testing.assert_array_equal(animation.panels[1].points, scene.to_points(
        clips[0].numpy(), LAYOUTS['coco']))
    pipeline = cfg.test_dataloader.dataset.pipeline
    place = [step['type'] for step in pipeline].index('GenSkeFeat')
    for step in (dict(pipeline[place], feats=['b']),
                 dict(type='JointToBone', dataset='coco', target='keypoint')):
        pipeline[place] = step
        animation = DatasetBrowser(cfg, 'test').animate(0)
        assert len(animation.panels) == 1
        assert 'shape (10, 2, 100, 17, 3), which are not' in animation.note


@pytest.mark.parametrize('form, options, words', [
    (dict(joints=25), {}, r'_000: .*25, 3\), expected .*20 joints'),
    ({}, {'model.data_preprocessor.layout': 'ntu'}, '"ntu" is unknown'),
    ({}, {'test_dataloader.dataset.pipeline': [dict(type='PoseDecode')]},
     '_000: KeyError'),
    ({}, {'test_dataloader.dataset.pipeline': [
        dict(type='PoseDecode'), dict(type='PackActionInputs')]},
     r'the joints have shape \(20, 20, 3\), expected')])
def test_invalid_data_raise(tiny_annotations, form, options, words):
    cfg = nw_ucla(tiny_annotations(num=2, **form))
    cfg.merge_from_dict(options)
    with pytest.raises(InputError, match=words):
        DatasetBrowser(cfg, 'test').animate(0)


def test_the_command(warm, tiny_annotations, tmp_path):
    ann_file = ('train_dataloader.dataset.dataset.ann_file='
                f'{tiny_annotations(num=12)}')
    done = warm(TOOL, NW_UCLA, '--format', 'html', '--num', 5,
                '--view', 'side', '--cfg-options', ann_file, cwd=tmp_path)
    assert done.stdout == f'browse/{NW_UCLA.stem}_train.html\n'
    page = data_of((tmp_path / done.stdout.strip()).read_text())
    assert len({sequence['name'] for sequence in page['sequences']}) == 5
    assert page['view'] == [90, 0]

    few = 'train_dataloader.dataset.num_sequences=20'
    done = warm(TOOL, SYNTHETIC, '--num', 2, '--out-dir', 'out',
                '--cfg-options', few, cwd=tmp_path)
    first, second = done.stdout.split()
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        path.removeprefix('out/') for path in (first, second)}
    with Image.open(tmp_path / first) as gif:
        assert 40 <= gif.n_frames <= 90

    done = warm(TOOL, NW_UCLA, cwd=tmp_path, status=1)
    assert 'nw_ucla.pkl' in done.stderr
