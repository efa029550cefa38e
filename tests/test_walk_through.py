"""Run the commands of docs/walk_through.md, shortened to take seconds."""
import json
import re
import shlex

from tests.commands import EXPORTS_ONNX, ROOT, TINY, accuracy

# options for small.py of the page, so that training takes seconds
OWN = ['model.backbone.base_channels=8', 'model.cls_head.in_channels=16',
       'model.backbone.num_stages=2', 'model.backbone.inflate_stages=[2]',
       'model.backbone.down_stages=[2]', 'train_cfg.max_epochs=3',
       'train_dataloader.dataset.times=1', 'train_dataloader.batch_size=16',
       *(f'{part}_dataloader.{option}' for part in ('train', 'val', 'test')
         for option in ('num_workers=0', 'persistent_workers=False'))]
WITHOUT_OPTIONS = ('make_recordings.py', 'custom.py', 'strip_stdcl.py',
                   'browse_dataset.py')


def shorten(line: str) -> list:
    """Return the words of a command, changed to finish in seconds."""
    own = 'small' in line
    line = re.sub(r'epoch_\d+', f'epoch_{3 if own else 1}', line)
    python, *words = shlex.split(line)
    assert python == 'python'
    if not words[0].endswith(WITHOUT_OPTIONS):
        words += ['--cfg-options', *(OWN if own else TINY)]
    return words


def test_commands_of_the_page(warm, tmp_path):
    for name in ('tools', 'projects', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    page = (ROOT / 'docs' / 'walk_through.md').read_text()
    blocks = re.findall(r'```(\w+)\n(.*?)```', page, re.DOTALL)
    outputs = {}
    for language, text in blocks[1:]:
        if language == 'python':
            (tmp_path / text.split()[1]).write_text(
                text.replace('num_sequences=960', 'num_sequences=160'))
            continue
        for line in text.splitlines():
            if 'onnx' in line and not EXPORTS_ONNX:
                continue
            tool, *words = shorten(line)
            outputs[line] = warm(tmp_path / tool, *words, cwd=tmp_path)

    def output(part):
        return [done.stdout for line, done in outputs.items() if part in line]

    trained, tested = ([accuracy(done) for line, done in outputs.items()
                        if f'tools/{tool}.py' in line]
                       for tool in ('train', 'test'))
    assert trained == tested
    assert 'anchor_share: 1.0000' in output('stdcl-stgcn_synthetic.py --s')[0]
    assert 'persons: up to 1' in output('custom.py')[0]
    assert re.match(r'day.npy: (\d+ segments|left (shoulder|hip): '
                    r'(slow|fast) swing \d)', output('day.npy')[0])
    for name in ('browse/stdcl-stgcn_synthetic_train.html', 'report.html',
                 'work_dirs/demo/day.html', 'work_dirs/demo/day.gif',
                 *(['swings.onnx'] if EXPORTS_ONNX else [])):
        assert (tmp_path / name).stat().st_size, name
    assert len(list(tmp_path.glob('swings-????????.pth'))) == 1
    page = (tmp_path / 'work_dirs/demo/day.html').read_text()
    shown = json.loads(page.split('id="data">')[1].split('</script>')[0])
    assert shown['sequences'][0]['timeline'][0][0] == 0
