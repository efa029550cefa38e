"""Make configs/README.md and configs/metafile.yml from the configs.

Everything in them is read from the configs; parameters and FLOPs are counted.

Examples:
    python tools/analysis/config_index.py            write both files
    python tools/analysis/config_index.py --check    fail if one is stale
"""
import argparse
import logging
import re
import sys
from pathlib import Path

import yaml
from mmengine.config import Config
from rich.progress import track

from projects.stdcl.evaluation.flops import analyse

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
STREAMS = {'joint': 'J', 'bone': 'B', 'joint-motion': 'JM',
           'bone-motion': 'BM'}
ENCODERS = {'stgcn': 'ST-GCN', '2s-agcn': '2S-AGCN', 'ctrgcn': 'CTR-GCN',
            'hyperformer': 'Hyperformer', 'hcn': 'HCN'}
PAPERS = {
    'STD-CL': ('Spatial-Temporal Decoupling Contrastive Learning for '
               'Skeleton-based Human Action Recognition', '2312.15144'),
    'ST-GCN': ('Spatial Temporal Graph Convolutional Networks for '
               'Skeleton-Based Action Recognition', '1801.07455'),
    '2S-AGCN': ('Two-Stream Adaptive Graph Convolutional Networks for '
                'Skeleton-Based Action Recognition', '1805.07694'),
    'CTR-GCN': ('Channel-wise Topology Refinement Graph Convolution for '
                'Skeleton-Based Action Recognition', '2107.12213'),
    'Hyperformer': ('Hypergraph Transformer for Skeleton-based Action '
                    'Recognition', '2211.09590'),
    'HCN': ('Co-occurrence Feature Learning from Skeleton Data for Action '
            'Recognition and Detection with Hierarchical Aggregation',
            '1804.06055')}
BENCHMARKS = {
    'ntu60-xsub': 'NTU RGB+D 60, X-Sub', 'ntu60-xview': 'NTU RGB+D 60, X-View',
    'ntu120-xsub': 'NTU RGB+D 120, X-Sub',
    'ntu120-xset': 'NTU RGB+D 120, X-Set',
    'nw-ucla-xview': 'NW-UCLA, cross-view'}
NAME = re.compile(
    r'(?P<method>stdcl-)?(?P<encoder>[^_]+)_(?P<gpus>\d+)xb(?P<batch>\d+)-'
    r'(?P<stream>.+)-(?P<frames>u\d+)-(?P<epochs>\d+)e_(?P<benchmark>.+)-'
    r'keypoint-3d')

INTRODUCTION = '''# Configs

Made by `python tools/analysis/config_index.py`; do not edit.

A name such as `stdcl-ctrgcn_1xb64-bone-u64-65e_ntu60-xsub-keypoint-3d` says:
STD-CL on CTR-GCN, one GPU with batches of 64, the bone stream, clips of 64
frames, 65 epochs, NTU RGB+D 60 X-Sub, three-dimensional joints. (On NW-UCLA an
epoch is five passes over the training set, as published; the 80 of MMAction2's
schedule are passes, in 16 epochs of five.)

Each config is a few lines: its encoder, data set and schedule come from
[_base_](_base_), a stream is one line, STD-CL is one fragment. Streams: J
joint, B bone, JM joint motion, BM bone motion. The `*_synthetic.py` need no
data.

On NTU, ST-GCN and 2S-AGCN have MMAction2's own preprocessing and schedule, and
the others the preprocessing of the published results; CTR-GCN has its authors'
schedule, Hyperformer that of STD-CL's release, HCN that of a public
reproduction. On NW-UCLA all have CTR-GCN's preprocessing, ST-GCN and 2S-AGCN
its schedule too; HCN's 150 epochs there are our choice.

Parameters and FLOPs (a multiply-add is one) are those of the network at test
time, of one clip, the same with STD-CL and without. lr and weight decay are
for GPUs x batch as given; with another number of GPUs use `--auto-scale-lr`.
'''


def find_configs() -> list:
    """The matrix, as a list of dicts of what each config says."""
    paths = [path for path in sorted(CONFIGS.glob('*/*.py'))
             if NAME.fullmatch(path.stem)]
    shown = track(paths, 'configs', disable=not sys.stderr.isatty())
    configs = [describe(path) for path in shown]
    costs = {}
    for config in configs:
        # at test time a stream and STD-CL cost nothing
        model = tuple(config[name] for name in (
            'encoder', 'frames', 'layout', 'num_classes'))
        if model not in costs:
            costs[model] = analyse(Config.fromfile(config['path']),
                                   num_sequences=1)['costs']['test']
        config['parameters'], config['flops'] = costs[model]
    return configs


def describe(path: Path) -> dict:
    """What a config's name and the config say."""
    cfg = Config.fromfile(path)
    outer = cfg.train_dataloader.dataset
    dataset = outer.get('dataset', outer)
    optimizer = cfg.optim_wrapper.optimizer
    return dict(
        NAME.fullmatch(path.stem).groupdict(), path=path,
        times=outer.get('times', 1), max_epochs=cfg.train_cfg.max_epochs,
        ann_file=dataset.ann_file, split=dataset.split,
        layout=cfg.model.data_preprocessor.layout,
        num_classes=cfg.model.cls_head.num_classes,
        optimizer=f'{optimizer.type}, {optimizer.lr:g}, '
        f'{optimizer.weight_decay:g}')


def make_readme(configs: list) -> str:
    """A table for each benchmark, a row for each encoder."""
    lines = [INTRODUCTION]
    for benchmark, title in BENCHMARKS.items():
        of_it = [config for config in configs
                 if config['benchmark'] == benchmark]
        lines += [
            f'## {title}', '',
            f'Trained on split `{of_it[0]["split"]}` of '
            f'`{of_it[0]["ann_file"]}`.', '',
            '| encoder | plain | STD-CL | clip | GPUs x batch | epochs | '
            'optimizer, lr, weight decay | parameters | GFLOPs |',
            '| --- ' * 9 + '|']
        lines += [_row([config for config in of_it
                        if config['encoder'] == encoder])
                  for encoder in ENCODERS]
        lines.append('')
    return '\n'.join(lines)


def _row(configs: list) -> str:
    first = configs[0]
    links = [' '.join(
        f'[{letter}]({config["path"].relative_to(CONFIGS).as_posix()})'
        for stream, letter in STREAMS.items() for config in configs
        if (config['method'], config['stream']) == (method, stream))
        for method in (None, 'stdcl-')]
    epochs = f'{first["max_epochs"]}'
    if first['times'] > 1:
        epochs += f' of {first["times"]} passes'
    return (f'| {ENCODERS[first["encoder"]]} | {links[0]} | {links[1]} '
            f'| {first["frames"]} | {first["gpus"]} x {first["batch"]} '
            f'| {epochs} | {first["optimizer"]} '
            f'| {first["parameters"] / 1e6:.2f} M '
            f'| {first["flops"] / 1e9:.2f} |')


def make_metafile(configs: list) -> str:
    """The form in which OpenMMLab's tools look for models."""
    collections = [dict(
        Name=name, README='README.md',
        Paper=dict(URL=f'https://arxiv.org/abs/{number}', Title=title))
        for name, (title, number) in PAPERS.items()]
    models = [{
        'Name': config['path'].stem,
        'Config': config['path'].relative_to(ROOT).as_posix(),
        'In Collection': 'STD-CL' if config['method'] else ENCODERS[
            config['encoder']],
        'Metadata': {
            'Architecture': ENCODERS[config['encoder']],
            'Batch Size': int(config['batch']),
            'Epochs': int(config['epochs']),
            'FLOPs': f'{config["flops"] / 1e9:.2f}G',
            'Parameters': f'{config["parameters"] / 1e6:.2f}M',
            'Training Data': BENCHMARKS[config['benchmark']],
            'Training Resources': f'{config["gpus"]} GPU'
            f'{"s" if int(config["gpus"]) > 1 else ""}'},
        'Results': [dict(Dataset=BENCHMARKS[config['benchmark']],
                         Task='Skeleton-based Action Recognition')]}
        for config in configs]
    return ('# Made by python tools/analysis/config_index.py; do not edit.\n'
            + yaml.safe_dump(dict(Collections=collections, Models=models),
                             sort_keys=False, width=200))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0],
        epilog='example: python tools/analysis/config_index.py --check')
    parser.add_argument('--check', action='store_true',
                        help='only say whether the files are up to date')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    configs = find_configs()
    made = {CONFIGS / 'README.md': make_readme(configs),
            CONFIGS / 'metafile.yml': make_metafile(configs)}
    for path, text in made.items():
        if not args.check:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            sys.exit(f'error: {path.relative_to(ROOT)} is stale; run python '
                     'tools/analysis/config_index.py')


if __name__ == '__main__':
    main()
