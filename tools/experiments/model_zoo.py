"""Make docs/model_zoo.md from recorded studies.

Examples:
    python tools/experiments/model_zoo.py           make it
    python tools/experiments/model_zoo.py --check   fail if it is stale
"""
import argparse
import logging
import sys
from pathlib import Path
from typing import List

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools' / 'analysis')]

from config_index import ENCODERS, STREAMS
from mmengine.config import Config
from study import RECORDS, Study, read_study
from study_report import (
    mean_and_deviation,
    median_minutes,
    read_records,
)

from projects.stdcl.evaluation.flops import analyse
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.input_error import end_cleanly

PAGE = ROOT / 'docs' / 'model_zoo.md'
STUDIES = ('nw_ucla_quarter', 'nw_ucla_full')  # that test on the test view
HEAD = ('frame sampling strategy', 'stream', 'gpus', 'backbone', 'training',
        'top1 acc', 'seeds', 'testing protocol', 'FLOPs', 'params',
        'minutes a training', 'config', 'ckpt', 'log')

INTRODUCTION = '''# Model zoo

Made by `python tools/experiments/model_zoo.py` from recorded trainings; do not
edit.

Weights are not kept in the repository: a command makes them, all seeds of a
row, on the machine and in about the time that the tables tell, and publishes
them with configs and logs. For a row, with the file STUDY that is named above
its table, and the name ROW in the column ckpt:

```shell
python tools/experiments/run_study.py STUDY --only ROW --jobs 2 \\
    --records runs/mine --work-dir work_dirs/mine
python tools/experiments/publish.py STUDY --only ROW \\
    --records runs/mine --work-dir work_dirs/mine
python tools/test.py work_dirs/models/ROW_seed-0.py \\
    work_dirs/models/ROW_seed-0-HASH.pth
```

What is recorded is not trained again, so without `--records` and `--work-dir`
the first command would do nothing: the records are in this repository. Seeds,
data and versions being the same, so is what comes out, on the same kind of
machine.

What is published is a checkpoint without STD-CL, its name ends in its hash;
the plain config for it; and the record, with curves and confusion matrix.
Every other pairing of encoder, data set and stream has a
[config](../configs), but no weights of ours: `python tools/train.py CONFIG`
makes them, and
[strip_stdcl.py](../tools/model_converters/strip_stdcl.py) publishes them.

top1 acc is that of the last epoch, in per cent, mean ± standard deviation over
the seeds. Minutes are the median of its trainings. FLOPs (a multiply-add is
one) and parameters are those at test time.
'''


def study_section(study: Study, records: dict) -> List[str]:
    """A table in the form of MMAction2's, a row for each arm."""
    rows, costs = [], {}
    for arm in study.arms:
        if not records[arm]:
            continue
        record = records[arm][0]
        training = next(item for item in study.arm(arm)
                        if item.seed == record['seed'])
        cfg = Config.fromstring(record['config'], '.py')
        # STD-CL and a stream cost nothing
        model = str((training.encoder, cfg.model.backbone))
        if model not in costs:
            costs[model] = analyse(cfg, num_sequences=1)['costs']['test']
        parameters, flops = costs[model]
        minutes = median_minutes(records[arm])
        top1 = np.array([one['top1_last'] for one in records[arm]])
        machine = record['machine']
        cells = (
            f'uniform {cfg.clip_len}', STREAMS[training.stream],
            '1' if 'gpu' in machine else f'CPU x {machine["threads"]}',
            ENCODERS[training.encoder], 'STD-CL' if training.stdcl else
            'plain', mean_and_deviation(top1), str(len(top1)), '1 clip',
            f'{flops / 1e9:.2f}G', f'{parameters / 1e6:.2f}M',
            f'{minutes:.1f}', f'[config](../{training.config})', f'`{arm}`',
            f'[log](../runs/studies/{training.record.as_posix()})')
        rows.append(f'| {" | ".join(cells)} |')
    if not rows:
        return [f'No training of [{study.name}](../tools/experiments/studies/'
                f'{study.name}.py), {study.about}, has been run.', '']
    return [f'## {study.about[0].upper()}{study.about[1:]}', '',
            f'STUDY is [tools/experiments/studies/{study.name}.py]'
            f'(../tools/experiments/studies/{study.name}.py); its options '
            'come on top of the config.', '',
            f'| {" | ".join(HEAD)} |', '| --- ' * len(HEAD) + '|', *rows, '']


def make_page() -> str:
    """The whole page."""
    lines = [INTRODUCTION]
    for name in STUDIES:
        study = read_study(
            ROOT / 'tools' / 'experiments' / 'studies' / f'{name}.py')
        lines += study_section(study, read_records(study, RECORDS))
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0], epilog='example: python '
        'tools/experiments/model_zoo.py --check')
    parser.add_argument('--check', action='store_true',
                        help='only say whether it is up to date')
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly('studies'):
        page = make_page()
    if PAGE.is_file() and PAGE.read_text() == page:
        return
    if args.check:
        sys.exit('error: docs/model_zoo.md is stale; run python '
                 'tools/experiments/model_zoo.py')
    with atomic_write(PAGE) as partial:
        partial.write_text(page)


if __name__ == '__main__':
    main()
