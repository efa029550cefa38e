"""Loading of checkpoints with different tensors, streams or data."""
import copy
import itertools
import json
import pickle
import re
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.apis import init_recognizer
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner.runner import _SlicedDataset

from projects.stdcl import apis
from projects.stdcl.apis import layout_of, load_model
from projects.stdcl.apis.load_model import build_test_loader
from projects.stdcl.apis.train import build_runner
from projects.stdcl.datasets.data_description import (
    check_traits,
    description_in,
    find_difference,
    input_of,
    traits,
)
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from tests.tiny_run import plain, run, tiny_config, train, use

BANKS = ('spatial_bank', 'temporal_bank')
_numbers = itertools.count()


@pytest.fixture
def config(tmp_path, tiny_annotations):
    return tiny_config(tmp_path / 'work', tiny_annotations(num=12), 4)


def to_coco(cfg, tiny_annotations, classes=4):
    """Return a config with different joints, classes and sequences."""
    cfg = copy.deepcopy(cfg)
    cfg.model.data_preprocessor.layout = {
        **asdict(SkeletonLayout.get('coco')), 'name': 'coco-3d', 'dims': 3}
    cfg.model.backbone.graph_cfg.layout = 'coco'
    cfg.model.clip_shape = (1, 52, 17, 3)
    cfg.model.cls_head.num_classes = classes
    return use(cfg, tiny_annotations(num=16, joints=17, classes=classes,
                                     name='coco.pkl'))


def start(cfg, **changes):
    """Train in a new work directory, and return the initial state."""
    work_dir = f'{cfg.work_dir}-{next(_numbers)}'
    return train(cfg, work_dir=work_dir, **changes)[1]


@pytest.fixture
def checkpoint(config, tmp_path_factory):
    """Return the path of a checkpoint after one epoch with STD-CL."""
    # several tests share the training run
    trained = tmp_path_factory.getbasetemp() / 'trained'
    if not trained.exists():
        run(config, work_dir=str(trained)).train()
    shutil.copytree(trained, config.work_dir)
    return f'{config.work_dir}/epoch_1.pth'


def saved(path):
    return torch.load(path, weights_only=True)['state_dict']


def rewrite(path, edit):
    """Edit the state dict in a checkpoint file."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['state_dict'] = edit(checkpoint['state_dict'])
    torch.save(checkpoint, path)
    return path


def check_start(state, fresh, loaded):
    """Check that only matching tensors are loaded; return the other names."""
    anew = set()
    for name, tensor in state.items():
        if any(bank in name for bank in BANKS):
            continue
        partner = re.sub(r'\bbias$', 'weight', name)
        fits = name in loaded and loaded[name].shape == tensor.shape and (
            partner not in loaded
            or loaded[partner].shape == state[partner].shape)
        assert torch.equal(tensor, (loaded if fits else fresh)[name]), name
        if not fits:
            anew.add(name)
    return anew


def test_other_classes_joints_and_sequences(config, checkpoint, capsys,
                                            tiny_annotations):
    cfg = to_coco(config, tiny_annotations)
    fresh = start(cfg)
    capsys.readouterr()
    state = start(cfg, load_from=checkpoint)
    log = capsys.readouterr().out
    anew = check_start(state, fresh, saved(checkpoint))
    assert {'cls_head.fc.weight', 'cls_head.fc.bias',
            'backbone.data_bn.weight', 'backbone.gcn.2.gcn.PA',
            'cls_head.decoupler.spatial.project.weight'} <= anew
    assert 'cls_head.decoupler.temporal.project.weight' not in anew
    for bank in BANKS:
        labels = state[f'cls_head.{bank}.labels']
        assert labels.tolist() == [-1] * 16

    own = [name for name in state if '_bank.' not in name]
    message = log[log.index(f'Checkpoint {checkpoint}'):]
    assert 'WARNING' in log[:log.index(message)].splitlines()[-1]
    loaded = f'loading {len(own) - len(anew)} of {len(own)} tensors'
    assert loaded in message
    for text in ('cls_head.fc.weight has the shape (10, 4), expected (4, 4); ',
                 'cls_head.fc.bias has the shape (10,), expected (4,)',
                 'data_bn.weight has the shape (60,), expected (51,); ',
                 '2.gcn.PA has the shape (3, 20, 20), expected (3, 17, 17)'):
        assert text in message
    assert 'missing from' not in message


def test_between_stdcl_and_plain(config, checkpoint, capsys):
    plain_state, fresh = start(plain(config), load_from=checkpoint), start(
        config)
    assert not check_start(plain_state, {}, saved(checkpoint))
    log = capsys.readouterr().out
    assert '; cls_head.decoupler.spatial.reduce is not in the model; ' in log
    assert 'from scratch' not in log
    torch.save(plain_state, checkpoint)
    anew = check_start(start(config, load_from=checkpoint), fresh, plain_state)
    assert all(name.startswith('cls_head.decoupler.') for name in anew)
    assert ('from scratch; cls_head.decoupler.spatial.reduce is missing from '
            'the checkpoint; ') in capsys.readouterr().out


def test_same_model_and_ddp_prefix(config, checkpoint, capsys):
    loaded = saved(checkpoint)
    rewrite(checkpoint, lambda state: {
        f'module._orig_mod.{name}': tensor for name, tensor in state.items()})
    state = start(config, load_from=checkpoint)
    log = capsys.readouterr().out
    assert not check_start(state, {}, loaded)
    assert 'from scratch' not in log
    own = len([name for name in state if '_bank.' not in name])
    assert f'loading {own} of {own} tensors' in log
    for bank in BANKS:  # the banks are empty, even if their sizes match
        assert (state[f'cls_head.{bank}.labels'] == -1).all()


def test_resume_keeps_load_from_until_there_is_a_checkpoint(
        config, checkpoint, tmp_path, capsys):
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(dict(config.to_dict(), load_from=checkpoint)))
    for epochs, source in (1, checkpoint), (2, tmp_path / 'new/epoch_1.pth'):
        runner = apis.train(path, tmp_path / 'new', resume='auto', seed=1,
                            cfg_options={'train_cfg.max_epochs': epochs,
                                         'resume': epochs == 2})
        assert f'checkpoint from {source}' in capsys.readouterr().out
        assert runner.epoch == epochs
        assert runner.cfg.resume == (epochs == 2)


def test_unrelated_checkpoint(config, checkpoint):
    rewrite(checkpoint, lambda state: {
        f'encoder.{name}': tensor for name, tensor in state.items()})
    for test in (False, True):
        runner = run(config, load_from=checkpoint)
        with pytest.raises(ValueError) as raised:
            runner.test() if test else runner.train()
        message = str(raised.value)
        assert f'{checkpoint} contains no parameter that fits ' in message
        assert 'backbone.data_bn is missing from the checkpoint; ' in message
    # this file contains no state_dict
    torch.save(dict(model=saved(checkpoint), epoch=3), checkpoint)
    with pytest.raises(ValueError, match='contains no parameter that fits'):
        run(config, load_from=checkpoint).train()


def test_testing_with_a_mismatch_raises(config, checkpoint, tiny_annotations):
    content = torch.load(checkpoint, weights_only=True)
    content['meta']['trained_on']['classes'] = [*'abcdefghij']
    torch.save(content, checkpoint)
    with pytest.raises(ValueError) as raised:
        run(to_coco(config, tiny_annotations), load_from=checkpoint).test()
    message = str(raised.value)
    assert f'{checkpoint} does not fit the model to be tested' in message
    assert 'data_bn.weight has the shape (60,), expected (51,); ' in message
    assert message.count(', expected (') == 3 and ' more. Use the' in message
    assert 'to be tested: it was trained on 20 joints, expected 17; it was ' \
        'trained on 10 classes, expected 4; backbone.' in message
    assert '\n' not in message
    # without the check, the classifier would keep its random weights
    rewrite(checkpoint, lambda state: {
        name.replace('.fc.', '.fc_cls.'): tensor
        for name, tensor in state.items()})
    with pytest.raises(ValueError, match=': cls_head.fc is missing '
                       'from the checkpoint'):
        run(plain(config), load_from=checkpoint).test()


def test_testing_a_larger_encoder_raises(config, checkpoint):
    smaller = plain(config)
    smaller.model.backbone.num_stages = 2
    with pytest.raises(ValueError, match='tested: backbone.gcn.2.gcn is not '
                       r'in the model; .*and \d+ more'):
        run(smaller, load_from=checkpoint).test()
    for other in smaller, changed(config, BONE):
        with pytest.raises(InputError, match=f'{checkpoint} does not fit'):
            init_recognizer(other, checkpoint, 'cpu')
    name = 'cls_head.fc.weight'
    rewrite(checkpoint, lambda state: {**state, name: state[name].char()})
    with pytest.raises(InputError, match=r'\(10, 4\) of torch.int8, expected'):
        run(config, load_from=checkpoint).test()


def test_testing_without_training_modules(config, checkpoint):
    """Old checkpoints contain no num_batches_tracked either."""
    expected = run(config, load_from=checkpoint).test()
    assert run(plain(config), load_from=checkpoint).test() == expected
    other = copy.deepcopy(config)
    other.model.cls_head.decoupler.reduction = 4
    assert run(other, load_from=checkpoint).test() == expected
    rewrite(checkpoint, lambda state: {
        name: tensor for name, tensor in state.items()
        if not re.search('decoupler|_bank|num_batches_tracked', name)})
    assert run(config, load_from=checkpoint).test() == expected


def test_lazy_parameters_match_any_size(config):
    sized = copy.deepcopy(config)
    sized.model.cls_head.decoupler.update(num_joints=20, num_frames=26)
    run(sized).train()
    lazy = copy.deepcopy(config)
    lazy.model.type = 'RecognizerGCN'  # without a dry run
    lazy.model.pop('clip_shape')
    tested = run(lazy, load_from=f'{config.work_dir}/epoch_1.pth')
    assert tested.test() == run(
        sized, load_from=f'{config.work_dir}/epoch_1.pth').test()
    assert tested.model.cls_head.decoupler.spatial.project.weight.shape == (
        256, 40)


def test_resuming_with_a_mismatch_raises(config, checkpoint):
    config.train_cfg.max_epochs = 2
    other = copy.deepcopy(config)
    other.model.cls_head.num_classes = 12
    with pytest.raises(ValueError) as raised:
        run(other, resume=True).train()  # resume from the latest checkpoint
    message = str(raised.value)
    assert f'{checkpoint} does not fit the model, so training ' in message
    assert 'fc.weight has the shape (10, 4), expected (12, 4)' in message
    assert 'set load_from to this file and omit resume' in message
    with pytest.raises(ValueError, match='decoupler.* is not in the model'):
        run(plain(config), resume=True, load_from=checkpoint).train()
    rewrite(checkpoint, lambda state: {
        name: tensor for name, tensor in state.items()
        if 'decoupler' not in name and '_bank' not in name})
    with pytest.raises(ValueError, match='decoupler.* is missing from '
                       'the checkpoint'):
        run(config, resume=True).train()


def test_old_work_directories_resume_with_their_config(config):
    """Configs of old runs have different defaults and no clip_shape."""
    config.model.pop('clip_shape')
    config.model.type = 'RecognizerGCN'
    config.model.cls_head.update(
        decoupler=dict(type='AttentiveDecoupler', reduction=2),
        loss_contrast=dict(type='CrossSequenceContrastiveLoss'),
        spatial_weight=0.1, temporal_weight=0.1)
    run(config).train()
    saved_config = f'{config.work_dir}/saved.json'
    config.dump(saved_config)
    resumed, _ = train(Config.fromfile(saved_config), resume=True,
                       train_cfg=dict(config.train_cfg, max_epochs=2))
    assert resumed.epoch == 2
    assert resumed.model.cls_head.spatial_weight == 0.1


@pytest.mark.parametrize('changes, message', [
    (dict(meta={}), 'contains no meta, so training cannot resume'),
    (dict(meta=dict(epoch='1', iter=3)), 'contains no integer in meta.epoch'),
    (dict(message_hub=1, optimizer=[]), 'contains no message_hub and no op')])
def test_resuming_from_an_unsuitable_file_raises(config, checkpoint, changes,
                                                 message):
    torch.save({**torch.load(checkpoint, weights_only=True), **changes},
               checkpoint)
    with pytest.raises(InputError, match=f'{checkpoint} {message}'):
        run(config, resume=True, load_from=checkpoint).train()


# --- input ------------------------------------------------------------------

def changed(cfg, options):
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(options)
    return cfg


BONE = {'model.data_preprocessor.stream': 'bone'}
STANDARDIZE = {f'{name}.pipeline.0.type': 'Standardize' for name in (
    'train_dataloader.dataset.dataset', 'val_dataloader.dataset',
    'test_dataloader.dataset')}
TWO_PERSONS = {name.replace('0.type', '3.num_person'): 2
               for name in STANDARDIZE}
COPIES = {name.replace('0.type', '3.mode'): 'loop' for name in STANDARDIZE}
LAYOUT_KEY = 'model.data_preprocessor.layout'
LAYOUT = {LAYOUT_KEY: {**asdict(SkeletonLayout.get('nw-ucla')),
                       '_delete_': True}}


@pytest.mark.parametrize('options, message', [
    (BONE, "the model: stream is 'bone', expected 'joint'. Use .*--stream"),
    ({'model.data_preprocessor.center_relative': True},
     'center_relative is True, expected False'),
    (STANDARDIZE, r"preprocessing is 'Standardize\(\)', expected 'MinMaxN"),
    (TWO_PERSONS, r'persons\[0\] is 2, expected 1'),
    (COPIES, r"persons\[1\] is 'loop', expected 'zero'"),
    (LAYOUT | {f'{LAYOUT_KEY}.center': 0}, 'center is 0, expected 2'),
    (LAYOUT | {f'{LAYOUT_KEY}.parts': [2] * 20}, r': parts\[0\] is 2, exp'),
    ({'model.backbone.graph_cfg.layout': {**LAYOUT[LAYOUT_KEY], 'parts': [
        2] * 20}}, r'backbone_parts\[0\] is 2, exp'),
    ({'model.contrast_block': 3}, 'contrast_block is 3, expected None')])
def test_different_input_raises(config, checkpoint, options, message):
    for use_it in uses(changed(config, options), checkpoint):
        with pytest.raises(InputError, match=message) as caught:
            use_it()
        assert '\n' not in str(caught.value)


def test_configs_without_the_hook(config, checkpoint, tmp_path):
    del config.default_hooks.checkpoint_fit
    config.dump(tmp_path / 'config.py')
    with pytest.raises(InputError, match="stream is 'bone', expected 'joint'"):
        apis.test(tmp_path / 'config.py', checkpoint, cfg_options=BONE)


def test_early_stopping_does_not_read_the_training_set(config, checkpoint):
    other = changed(config, BONE | {'train_dataloader.dataset': dict(
        type='SkeletonDataset', ann_file='absent.pkl', _delete_=True)})
    other.custom_hooks.append(dict(
        type='EarlyStoppingHook', monitor='acc/top1'))
    with pytest.raises(InputError, match="stream is 'bone', expected 'joint'"):
        run(other, load_from=checkpoint).test()


def test_fine_tuning_keeps_the_graph_of_the_layout(config, checkpoint):
    ring = dict(asdict(SkeletonLayout.get('nw-ucla')), center=0, bones=None,
                edges=[(joint, joint - 1) for joint in range(1, 20)])
    other = changed(config, {f'{key}.layout': {**ring, '_delete_': True}
                             for key in ('model.data_preprocessor',
                                         'model.backbone.graph_cfg')})
    own, name = MODELS.build(other.model).state_dict(), 'backbone.gcn.0.gcn.A'
    assert not torch.equal(own[name], saved(checkpoint)[name])
    for state in (start(other, load_from=checkpoint), start(changed(other, {
            'model.backbone.init_cfg': dict(
                type='Pretrained', prefix='backbone.',
                checkpoint=str(checkpoint))}))):
        assert torch.equal(state[name], own[name])
    name = 'backbone.gcn.0.tcn.conv.weight'
    assert torch.equal(state[name], saved(checkpoint)[name])


def test_models_without_a_stream_use_joints(config):
    models = [MODELS.build({**config.model, 'data_preprocessor': one}) for one
              in (dict(config.model.data_preprocessor, stream='bone'),
                  dict(type='ActionDataPreprocessor'))]
    for trained, model in ((input_of(models[0]), models[1]),
                           (input_of(models[1]), models[0])):
        checkpoint = dict(meta=dict(trained_on=trained))
        assert find_difference(description_in(checkpoint, model), input_of(
            model)).startswith('stream is')


def test_configs_without_a_model_or_test_set(checkpoint):
    with pytest.raises(InputError, match='model is missing, expected a dict'):
        load_model(Config(), checkpoint)
    with pytest.raises(InputError, match='test_dataloader is missing, exp'):
        build_test_loader(Config(), None)


def test_pipelines_are_compared_before_training(config):
    for name in ('val_dataloader', 'test_dataloader'):
        mixed = changed(config, {f'{name}.dataset.pipeline.0.type':
                                 'Standardize'})
        with pytest.raises(InputError, match=f'{name}: .*preprocessing is'):
            run(mixed).train()


def test_layouts_of_a_model_agree(config):
    other = {**LAYOUT[LAYOUT_KEY], 'bones': None}
    other['joint_names'] = [f'joint {joint}' for joint in range(20)]
    graph = 'model.backbone.graph_cfg.layout'
    run(changed(config, {graph: other})).train()  # with different names only
    other['edges'] = [(joint + 1, joint) for joint in range(19)]
    with pytest.raises(InputError, match='backbone has the layout "nw-ucla", '
                       r"whose joint_names\[0\] is 'joint 0', expected 'base"):
        run(changed(config, {graph: other})).train()


def test_random_test_sequences_warn(config, checkpoint, capsys,
                                    tiny_annotations):
    run(config, load_from=checkpoint).test()
    tiny_annotations(num=12)
    config.test_dataloader.dataset.pipeline[1].test_mode = False
    config.test_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=config.test_dataloader.dataset)
    config.test_dataloader.dataset.dataset.pipeline[1].clip_len += 1
    run(config, load_from=checkpoint).test()
    log = capsys.readouterr().out
    assert log.count('the pipeline is random') == 1
    assert len(re.findall(r'\.pkl: clip_len is \d+, expected', log)) == 1


def test_tests_in_the_same_second_have_different_folders(config, monkeypatch):
    monkeypatch.setattr(time, 'strftime', lambda *_: 'now')
    folders = [Path(build_runner(config).log_dir).name for _ in range(3)]
    assert folders == ['now', 'now_2', 'now_3']


def test_equal_preprocessing_can_be_written_differently():
    trained_on = traits(dict(pipeline=[dict(
        type='PreNormalize3D', zaxis=[0, 1]), dict(type='RandomScale'), dict(
            type='PreNormalize2D')]))
    check_traits(trained_on, dict(dataset=dict(metainfo=None, pipeline=[
        dict(type='FastPreNormalize3D', zaxis=(0, 1)),
        dict(type='PreNormalize2D', img_shape=(9, 9))])))
    check_traits(trained_on, dict(dataset='ntu'))  # of an own class
    with pytest.raises(InputError, match="is .none.*'FastPreNormalize3D()"):
        check_traits(trained_on, dict(pipeline=[dict(type='RandomScale')]))


class Scale:
    """Transform whose attribute does not have the name of its argument."""
    cacheable, __call__ = True, print

    def __init__(self, factor):
        self._factor = {'x': torch.tensor([factor]), (0, 1): 'y'}


@pytest.mark.parametrize('make', [dict, SimpleNamespace])
def test_the_transforms_of_wrappers_are_compared(make):
    one, two, three = ([Scale(factor)] for factor in (1, 2, 3))
    trained_on, inner = traits(dict(pipeline=one + two)), make(pipeline=one)
    check_traits(trained_on, _SlicedDataset(
        make(datasets=[inner], pipeline=two), 1))
    with pytest.raises(InputError, match=r'\] is .*\[3\].*, expected .*\[2\]'):
        check_traits(trained_on, make(dataset=inner, pipeline=three))


def test_fine_tuning_on_a_different_stream(config, checkpoint, capsys):
    loaded = saved(checkpoint)
    state = start(changed(config, {**BONE, **STANDARDIZE}),
                  load_from=checkpoint)
    assert not check_start(state, {}, loaded)
    assert (f'{checkpoint} was trained with: preprocessing is') in (
        text := capsys.readouterr().out)
    assert "; stream is 'bone', expected 'joint'" in text


def test_input_of_older_checkpoints_is_not_checked(config, checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    del content['meta']['trained_on']
    torch.save(content, checkpoint)
    bone = changed(config, BONE)
    other = changed(bone, STANDARDIZE)
    assert 'acc/top1' in run(other, load_from=checkpoint).test()
    load_model(other, checkpoint)
    bone.train_cfg.max_epochs = 2
    run(bone, resume=True).train()
    assert torch.load(f'{config.work_dir}/epoch_2.pth', weights_only=True)[
        'meta']['trained_on']['stream'] == ['bone']
    # a file that contains only weights does not name a stream
    torch.save(saved(checkpoint), checkpoint)
    load_model(bone, checkpoint)
    bone.data_preprocessor = bone.model.pop('data_preprocessor')
    model = load_model(bone, checkpoint)
    assert model.data_preprocessor.stream == 'bone'
    assert layout_of(bone).name == 'nw-ucla'
    bone.data_preprocessor.layout = dict(num_node=20, inward=[], center=0)
    assert layout_of(bone).num_joints == 20  # that of the backbone


# --- data -------------------------------------------------------------------

LETTERS = list('abcdefghij')
SWAPPED = ['b', 'a', *LETTERS[2:]]


def annotated(path, rename='', **fields):
    """Write a copy of an annotation file with different names and fields."""
    content = pickle.loads(Path(path).read_bytes())
    for item in content['annotations']:
        item['frame_dir'] += rename
    content['split'] = {split: [name + rename for name in names]
                        for split, names in content['split'].items()}
    target = Path(path).with_name(f'{next(_numbers)}.pkl')
    target.write_bytes(pickle.dumps({**content, **fields}))
    return str(target)


def uses(cfg, checkpoint):
    """Return functions that test, validate, resume and load a model."""
    longer = dict(load_from=checkpoint, resume=True,
                  train_cfg=dict(cfg.train_cfg, max_epochs=2))
    return (lambda: run(cfg, load_from=checkpoint).test(),
            lambda: run(cfg, load_from=checkpoint).val(),
            lambda: run(cfg, **longer).train(),
            lambda: build_test_loader(cfg, load_model(cfg, checkpoint)))


def test_labels_of_test_data_are_checked(config, tiny_annotations):
    use(config, tiny_annotations(num=12))
    run(config).train()
    other = use(copy.deepcopy(config), tiny_annotations(
        num=12, classes=11, name='other.pkl'))
    other.train_dataloader = config.train_dataloader
    for use_it in uses(other, f'{config.work_dir}/epoch_1.pth'):
        with pytest.raises(InputError, match='label is 10, expected 0 to 9'):
            use_it()


def test_classes_in_a_different_order_raise(config, tiny_annotations, capsys):
    path = tiny_annotations(num=12)
    use(config, annotated(path, classes=LETTERS))
    run(config).train()
    checkpoint = f'{config.work_dir}/epoch_1.pth'
    other = use(copy.deepcopy(config), annotated(path, classes=SWAPPED))
    message = r"_dataloader: .*classes\[0\] is 'b', expected 'a'"
    for use_it in uses(other, checkpoint):
        with pytest.raises(InputError, match=message):
            use_it()
    mixed = copy.deepcopy(config)
    mixed.val_dataloader = other.val_dataloader
    mixed.test_dataloader = other.test_dataloader
    with pytest.raises(InputError, match=f'val{message}'):
        run(mixed).train()
    with pytest.raises(InputError, match=f'test{message}'):
        trained, _ = train(config)
        trained._test_dataloader = other.test_dataloader
        trained._test_loop['dataloader'] = other.test_dataloader
        trained.test()
    # no error if the names of the classes are unknown, or in fine-tuning
    use(other, path)
    run(other, load_from=checkpoint).test()
    use(other, annotated(path, classes=SWAPPED))
    capsys.readouterr()
    start(other, load_from=checkpoint)
    assert (f"{checkpoint} was trained with: classes[0] is 'b', expected 'a'."
            ) in capsys.readouterr().out


def test_joints_in_a_different_order_raise(config, checkpoint, capsys,
                                           tiny_annotations):
    fields = asdict(SkeletonLayout.get('nw-ucla'))
    names = list(fields['joint_names'])
    fields['joint_names'] = [*names[:4], *names[8:12], *names[4:8],
                             *names[12:]]
    other = copy.deepcopy(config)
    other.model.data_preprocessor.layout = fields
    message = r"joint_names\[4\] is 'right shoulder', expected 'left "
    for use_it in uses(other, checkpoint):
        with pytest.raises(InputError, match=f'{checkpoint} .*{message}'):
            use_it()
    capsys.readouterr()
    start(other, load_from=checkpoint)
    assert re.search(message, capsys.readouterr().out)
    # the layout in an annotation file is also compared
    use(config, annotated(tiny_annotations(num=12), layout=fields))
    for use_it in (*uses(config, checkpoint)[::3], run(config).train):
        with pytest.raises(InputError, match=f'_dataloader.*: {message}'):
            use_it()
    # MMAction2's data preprocessor has no layout, so the encoder's is compared
    stock = copy.deepcopy(config)
    stock.model.data_preprocessor = dict(type='ActionDataPreprocessor')
    with pytest.raises(InputError, match=f'train_dataloader.*: {message}'):
        run(stock).train()
    # the stream depends on the bones
    bones = dict(asdict(SkeletonLayout.get('nw-ucla')), bones=[(1, 0)])
    other.model.data_preprocessor.layout = bones
    with pytest.raises(InputError, match=r'bones\[0\] is \(1, 0\), expected'):
        load_model(other, checkpoint)


def test_testing_on_training_sequences_warns(config, tiny_annotations, capsys):
    """After fine-tuning, the sequences of both runs are training sequences."""
    paths = [annotated(tiny_annotations(num=12), rename) for rename in 'xyz']
    for path, checkpoint in zip(paths, (None, f'{config.work_dir}/1.pth')):
        use(config, path).test_dataloader.dataset.ann_file = paths[0]
        train(config, load_from=checkpoint)[0].test()
        Path(config.work_dir, 'epoch_1.pth').rename(f'{config.work_dir}/1.pth')
    text = '12 of 12 sequences have the name and label of a training sequence'
    log = capsys.readouterr().out
    for name in ('val', 'test'):
        assert log.count(f'{name}_dataloader: {text}') == 2
    for path in paths:
        run(use(config, path), load_from=checkpoint).test()
        log = capsys.readouterr().out
        assert (f"test_dataloader: {text} (such as 'tiny.pkl_000" in log) == (
            path != paths[2])


@pytest.mark.parametrize('name', ['backbone.data_bn.running_var',
                                  'cls_head.fc.weight'])
def test_numbers_that_are_not_finite_raise(config, checkpoint, name):
    rewrite(checkpoint, lambda state: {
        key: tensor * (float('nan') if key == name else 1)
        for key, tensor in state.items()})
    for use_it in (*uses(config, checkpoint),
                   lambda: run(config, load_from=checkpoint).train()):
        with pytest.raises(InputError, match=f'{checkpoint} contains NaN '
                           rf'or infinity in {name} \(.*: 1\)'):
            use_it()
    runner = run(config)
    runner.model.state_dict()[name].fill_(float('nan'))
    for test in runner.test, runner.val:
        with pytest.raises(InputError, match='batch 1: some outputs of'):
            test()
