"""The quick start reaches the accuracy that its page promises."""
import subprocess
import sys

import numpy as np
import pytest

from projects.stdcl.apis import train
from projects.stdcl.catalogue import ROOT, find_config


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 1])
def test_accuracy(tmp_path, seed):
    runner = train(find_config('stgcn', 'synthetic', stdcl=True),
                   str(tmp_path), seed=seed)
    top1 = runner.message_hub.get_scalar('val/acc/top1').current()
    assert top1 >= 0.96


@pytest.mark.parametrize('right, status', [(19, 0), (18, 1)])
def test_make_fails_below_95_percent(tmp_path, right, status):
    """Run the last command of ``make quickstart`` on 20 scores."""
    np.savez(tmp_path / 'scores.npz', labels=np.zeros(20, int),
             logits=np.eye(2)[(np.arange(20) >= right).astype(int)])
    recipe = subprocess.run(
        ['make', '-n', '--no-print-directory', 'quickstart',
         f'WORK_DIR={tmp_path}', 'VENV=.none'],
        cwd=ROOT, capture_output=True, text=True, check=True).stdout
    check = recipe[recipe.index('.none/bin/python -c'):]
    done = subprocess.run(
        check.replace('.none/bin/python', sys.executable), shell=True,
        capture_output=True, text=True)
    assert done.returncode == status
    assert ('top-1 is 90.0%, expected 95 %' in done.stderr) == bool(status)
