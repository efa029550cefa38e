"""Run complete commands as a user types them."""
import json
import re
import sys
from pathlib import Path

import mmaction
import pytest
import torch

from tests.commands import CONFIG, TINY, accuracy, call


@pytest.fixture(scope='module')
def trained(root, warm, tmp_path_factory):
    """Train one epoch in a working directory outside the repository."""
    folder = tmp_path_factory.mktemp('elsewhere')
    done = warm('tools/train.py', root / CONFIG, '--seed', 0, '--resume',
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
        seed=0, diff_rank_seed=True, deterministic=True)
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
    meta = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)['meta']
    assert meta['trained_on']['num_classes'] == [16] and accuracy(done) >= 0
