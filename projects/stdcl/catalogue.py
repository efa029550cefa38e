"""Catalogue of all encoders, benchmarks and streams, by name.

Tools, tables and tests take their lists from this module. Skeleton layouts
have their own table, :data:`~.utils.skeleton_layout.LAYOUTS`.

A new encoder needs a file in ``models/backbones``, an entry in
:data:`ENCODERS` and configs in ``configs/<name>``.
"""
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .utils.input_error import InputError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'


@dataclass(frozen=True)
class Encoder:
    """A skeleton encoder.

    Args:
        title (str): Name in the paper.
        backbone (str): Registered name of the backbone class.
        arxiv (str): arXiv number of the paper.
        layout_field (str): Option of the backbone that sets the layout.
            Defaults to 'layout'.
        persons_field (str, optional): Option of the backbone that sets the
            number of persons. Defaults to None, for a backbone that accepts
            any number.
    """
    title: str
    backbone: str
    arxiv: str
    layout_field: str = 'layout'
    persons_field: Optional[str] = None


@dataclass(frozen=True)
class Benchmark:
    """A data set with its evaluation protocol.

    Args:
        title (str): Name in tables.
        ann_file (str): Annotation file, relative to the working directory.
        split (str): Prefix of the split names, which end in '_train' and
            '_val'.
        layout (str): Name of the skeleton layout.
        num_classes (int): Number of classes.
        num_person (int): Number of persons in a clip.
    """
    title: str
    ann_file: str
    split: str
    layout: str
    num_classes: int
    num_person: int


# config folder -> encoder
ENCODERS = {
    'stgcn': Encoder('ST-GCN', 'STGCN', '1801.07455', 'graph_cfg.layout'),
    '2s-agcn': Encoder('2S-AGCN', 'AAGCN', '1805.07694', 'graph_cfg.layout',
                       'num_person'),
    'ctrgcn': Encoder('CTR-GCN', 'CTRGCN', '2107.12213',
                      persons_field='num_person'),
    'hyperformer': Encoder('Hyperformer', 'Hyperformer', '2211.09590',
                           persons_field='num_person'),
    'blockgcn': Encoder('BlockGCN', 'BlockGCN', '2305.11468',
                        persons_field='num_person'),
    'hcn': Encoder('HCN', 'HCN', '1804.06055'),
}

# name in config file names -> benchmark
BENCHMARKS = {
    'ntu60-xsub': Benchmark('NTU RGB+D 60, X-Sub', 'data/ntu/ntu60.pkl',
                            'xsub', 'nturgb+d', 60, 2),
    'ntu60-xview': Benchmark('NTU RGB+D 60, X-View', 'data/ntu/ntu60.pkl',
                             'xview', 'nturgb+d', 60, 2),
    'ntu120-xsub': Benchmark('NTU RGB+D 120, X-Sub', 'data/ntu/ntu120.pkl',
                             'xsub', 'nturgb+d', 120, 2),
    'ntu120-xset': Benchmark('NTU RGB+D 120, X-Set', 'data/ntu/ntu120.pkl',
                             'xset', 'nturgb+d', 120, 2),
    'nw-ucla-xview': Benchmark('NW-UCLA, cross-view',
                               'data/nw_ucla/nw_ucla.pkl', 'xview', 'nw-ucla',
                               10, 1),
    'jhmdb': Benchmark('JHMDB, split 1', 'data/jhmdb/jhmdb.pkl', 'split1',
                       'jhmdb', 14, 1),
}

# stream -> its customary weight in the fusion of all four streams
STREAMS = {'joint': 2, 'bone': 2, 'joint-motion': 1, 'bone-motion': 1}


def find_config(encoder: str, benchmark: str, stdcl: bool) -> Path:
    """Find the config of an encoder on a benchmark.

    Args:
        encoder (str): A key of :data:`ENCODERS`.
        benchmark (str): A key of :data:`BENCHMARKS`, or 'synthetic'.
        stdcl (bool): Whether to find the config with STD-CL or the plain one.

    Returns:
        Path: Absolute path of the config file.

    Raises:
        InputError: A name is unknown, or not exactly one config matches.
    """
    require_known('encoder', encoder, ENCODERS)
    require_known('benchmark', benchmark, (*BENCHMARKS, 'synthetic'))
    name = f'stdcl/stdcl-{encoder}' if stdcl else f'{encoder}/{encoder}'
    pattern = f'{name}_synthetic.py' if benchmark == 'synthetic' else (
        f'{name}_*_{benchmark}-keypoint-*.py')
    found = sorted(CONFIGS.glob(pattern))
    if len(found) != 1:
        raise InputError(
            f'configs/{pattern} matches {len(found)} files, expected one.')
    return found[0]


def require_known(field: str, value: str, known) -> None:
    """Raise an ``InputError`` unless ``value`` is one of ``known``."""
    if value not in known:
        raise InputError(
            f'{field} is {value!r}, expected one of {", ".join(known)}.')
