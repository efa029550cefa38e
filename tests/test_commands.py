"""Run complete commands as a user types them."""
import json
import re
import sys
from pathlib import Path

import mmaction
import pytest
import torch

from projects.stdcl.catalogue import STREAMS
from tests.commands import CONFIG, TINY, accuracy, call


@pytest.fixture(scope='module')
def trained(root, warm, tmp_path_factory):
    """Train one epoch in a working directory outside the repository."""
    folder = tmp_path_factory.mktemp('elsewhere')
    done = warm('tools/train.py', root / CONFIG, '--seed', 1, '--resume',
                '--deterministic', '--diff-rank-seed', '--cfg-options', *TINY,
                cwd=folder)
    return folder / 'work_dirs' / 'stdcl-stgcn_synthetic', done


def test_train_writes_below_the_working_directory(trained):
    work_dir, done = trained
    assert (work_dir / 'epoch_1.pth').is_file()
    assert 'no checkpoint to resume from, starting from scratch' in done.stdout
    assert re.search(r'loss_cls: .* loss_spatial: .* loss_temporal: .* '
                     r'anchor_share: ', done.stdout)
    record = json.loads((work_dir / 'run.json').read_text())
    assert record['config']['randomness'] == dict(
        seed=1, diff_rank_seed=True, deterministic=True)
    assert record['epochs'][0]['val']['acc/top1'] == pytest.approx(
        accuracy(done), abs=1e-4)


def test_test_and_fuse(root, warm, trained):
    work_dir, done = trained
    scores, config = work_dir / 'scores.npz', work_dir / Path(CONFIG).name
    saved = config.read_text()
    tested = warm('tools/test.py', root / CONFIG, work_dir / 'epoch_1.pth',
                  '--work-dir', work_dir, '--dump', scores, '--cfg-options',
                  *TINY, cwd=work_dir)
    assert config.read_text() == saved  # the config of the training run
    assert accuracy(tested) == accuracy(done)
    # the table has a row for each class, with its 2 sequences
    assert tested.stdout.count('\n        2  ') == 16
    for end in ('classes.csv', 'confusion.csv', 'confusion.png'):
        assert (work_dir / f'scores_{end}').is_file()
    fused = warm('tools/ensemble.py', scores, '--weights', 2,
                 '--out', 'result.json', cwd=work_dir)
    assert '32 sequences, 16 classes; sum of logits' in fused.stdout
    top1 = 100 * accuracy(tested)
    assert ('scores.npz (joint, weight 2, matched by name): top-1 '
            f'{top1:.2f}') in fused.stdout
    assert f'fused: top-1 {top1:.2f}' in fused.stdout
    files = json.loads((work_dir / 'result.json').read_text())['files']
    assert [file['checkpoint'] for file in files] == ['epoch_1.pth']


def test_command_composed_by_mim(root, tmp_path):
    script = Path(mmaction.__file__).parent / '.mim' / 'tools' / 'train.py'
    done = call(sys.executable, script, root / CONFIG, '--launcher', 'none',
                '--work-dir', tmp_path, '--cfg-options', *TINY, cwd=tmp_path)
    torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert accuracy(done) >= 0


@pytest.mark.slow
def test_four_streams_of_the_docs(root, tmp_path, tiny_annotations):
    """The loop in docs/data.md works with narrow encoders and one epoch."""
    text = (root / 'docs/data.md').read_text()
    script, = (block for block in re.findall(r'```shell\n(.*?)```', text,
                                             re.DOTALL)
               if 'for stream in' in block)
    convert, script = script.split('\n', 1)
    assert convert.startswith('python tools/data/nw_ucla.py all_sqe.zip ')
    for old, new in {'max_epochs=30': 'max_epochs=1', 'epoch_30': 'epoch_1',
                     'val_interval=10': 'val_interval=1',
                     'base_channels=16': 'base_channels=4',
                     'in_channels=64': 'in_channels=16'}.items():
        assert old in script
        script = script.replace(old, new)
    for name in ('configs', 'projects', 'tools'):
        (tmp_path / name).symlink_to(root / name)
    data = tmp_path / convert.split()[-1]
    data.parent.mkdir(parents=True)
    data.write_bytes(Path(tiny_annotations(num=32)).read_bytes())
    call('bash', '-e', '-c', script, cwd=tmp_path)
    result = json.loads(
        (tmp_path / 'work_dirs/quarter/result.json').read_text())
    assert [item['weight'] for item in result['files']] == [2, 2, 1, 1]
    assert [item['stream'] for item in result['files']] == [*STREAMS][:4]
    assert (tmp_path / 'work_dirs/quarter/confusion.png').is_file()
