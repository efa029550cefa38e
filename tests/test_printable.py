"""Names from files cannot forge lines of output or control a terminal."""
import pickle
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from torch.utils.data import DataLoader

from projects.stdcl.apis import load_model
from projects.stdcl.datasets import SkeletonDataset, data_description
from projects.stdcl.datasets.dataset_access import summarize
from projects.stdcl.evaluation.confusion import class_names
from projects.stdcl.evaluation.fusion import describe, fuse_files
from projects.stdcl.studies.report import markdown
from projects.stdcl.utils import safe_files
from projects.stdcl.utils.config_check import load_config
from projects.stdcl.utils.input_error import InputError, end_cleanly, printable
from projects.stdcl.visualization.skeleton_animation import Animation
from tests.commands import CONFIG, ROOT
from tests.test_ensemble import make

FORGED = 'walk\nacc/top1: 1.0000\r\x1b[2K\u202e\u2028\x85\x00\udcff'
SHOWN = (r'walk\nacc/top1: 1.0000\r\x1b[2K\u202e\u2028\x85\x00\udcff')


def test_text_is_one_printable_line():
    assert printable(FORGED) == SHOWN
    for text in ('', 'Größe 摇头 β 😀', r'a\n', SHOWN):
        assert printable(text) == text


def fail_on_a_name(samples=()):
    raise InputError(f'{FORGED} is bad.')


def load_forged_pickle():
    with open('a.pkl', 'wb') as file:
        file.write(b'\x80\x04' + b''.join(
            b'\x8c' + bytes([len(name)]) + name
            for name in (b'os', FORGED.encode(errors='replace'))) + b'\x93.')
    safe_files.load('a.pkl')


@pytest.mark.parametrize('fail, shown', [
    (fail_on_a_name, f'{SHOWN} is bad.'),
    (lambda: next(iter(DataLoader([0], num_workers=1,
                                  collate_fn=fail_on_a_name))),
     f'{SHOWN} is bad.'),
    (lambda: Path(FORGED.replace('\0', '')).read_text(), 'No such file'),
    (load_forged_pickle, f'os.{SHOWN[:-6]}')])
def test_error_is_one_line(tmp_path, monkeypatch, fail, shown):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, OSError, pickle.PickleError)) as caught:
        fail()
    if not isinstance(caught.value, OSError):
        assert shown in str(caught.value) and str(caught.value).isprintable()
    with pytest.raises(SystemExit) as end, end_cleanly(FORGED):
        fail()
    assert end.value.code.startswith(f'error: {SHOWN}: ')
    assert shown in end.value.code and end.value.code.isprintable()


def test_tables(tmp_path):
    a = make(tmp_path / 'a.npz', k=2, classes=[FORGED, 'b'], stream=FORGED)
    text = describe(fuse_files([a.path]))
    assert text.count(SHOWN) == 3 and len(text.splitlines()) == 7
    assert class_names([FORGED], 1) == [SHOWN]
    assert markdown([FORGED], [['a']]).splitlines()[0] == f'| {SHOWN} |'
    animation = Animation(FORGED, FORGED, [])
    assert (animation.name, animation.class_name) == (SHOWN, SHOWN)


def test_classes_of_data_sets_and_checkpoints(tmp_path, tiny_annotations):
    path = tiny_annotations(  # the names of the sequences are not UTF-8
        num=2, name='\udce9.pkl',
        change=lambda content: content.update(classes=[FORGED]))
    dataset = SkeletonDataset(path, [], split='xview_train')
    assert dataset.metainfo['classes'] == [SHOWN]
    cfg = load_config(ROOT / CONFIG, ['model.backbone.base_channels=4',
                                      'model.cls_head.in_channels=16'])
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=dict(
        dataset_meta=dict(classes=[FORGED]))), tmp_path / 'a.pth')
    model = load_model(cfg, str(tmp_path / 'a.pth'))
    assert model.dataset_meta['classes'] == [SHOWN]
    assert summarize(dataset) and data_description.describe(model, dataset)
