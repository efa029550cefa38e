"""The visualization backends in docs/guides/train.md write their files."""
import re

from tests.commands import CONFIG, ROOT, TINY


def test_tensorboard_and_wandb(warm, tmp_path, monkeypatch):
    lines = re.search(r'```python\n(visualizer = .*?)```',
                      (ROOT / 'docs/guides/train.md').read_text(),
                      re.DOTALL)[1]
    (tmp_path / 'curves.py').write_text(f"_base_ = '{ROOT / CONFIG}'\n{lines}")
    monkeypatch.setenv('WANDB_MODE', 'offline')
    warm('tools/train.py', 'curves.py', '--cfg-options', *TINY, cwd=tmp_path)
    folder, = tmp_path.glob('work_dirs/curves/*/vis_data')
    assert list(folder.glob('wandb/offline-run-*/*.wandb'))
    events, = folder.glob('events.out.tfevents.*')
    for name in ('loss_spatial', 'anchor_share', 'acc/top1'):
        assert name.encode() in events.read_bytes()
