"""Encoders, benchmarks and streams, by name.

The layouts are in :data:`.utils.skeleton_layout.LAYOUTS`.
"""
from dataclasses import dataclass
from pathlib import Path

from .utils.input_error import InputError, require_known

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'


@dataclass(frozen=True)
class Encoder:
    """A skeleton encoder."""
    title: str  # name in the paper
    layout_field: str = 'layout'  # option of the backbone that sets the layout
    # option that sets the number of persons; None if the backbone accepts any
    persons_field: str | None = None
    # ratio of the channels of the last block to those of the first
    expansion: int = 4


# config folder -> encoder
ENCODERS = {
    'stgcn': Encoder('ST-GCN', 'graph_cfg.layout'),
    '2s-agcn': Encoder('2S-AGCN', 'graph_cfg.layout', 'num_person'),
    'ctrgcn': Encoder('CTR-GCN', persons_field='num_person'),
    'hyperformer': Encoder('Hyperformer', persons_field='num_person',
                           expansion=1),
    'blockgcn': Encoder('BlockGCN', persons_field='num_person', expansion=2),
    'hcn': Encoder('HCN'),
}

# name of a benchmark in config file names -> title in tables
BENCHMARKS = {
    'ntu60-xsub': 'NTU RGB+D 60, X-Sub',
    'ntu60-xview': 'NTU RGB+D 60, X-View',
    'ntu120-xsub': 'NTU RGB+D 120, X-Sub',
    'ntu120-xset': 'NTU RGB+D 120, X-Set',
    'nw-ucla-xview': 'NW-UCLA, cross-view',
    'jhmdb': 'JHMDB, split 1',
}

# stream -> its usual weight in the fusion of several streams
STREAMS = {'joint': 2, 'bone': 2, 'joint-motion': 1, 'bone-motion': 1}
STREAM_OPTION = 'model.data_preprocessor.stream'  # config option that sets it


def find_config(encoder: str, benchmark: str, stdcl: bool) -> Path:
    """Return the absolute path of the config of an encoder on a benchmark.

    ``encoder`` is a key of :data:`ENCODERS`, and ``benchmark`` is a key of
    :data:`BENCHMARKS` or 'synthetic'. ``stdcl`` selects the config with
    STD-CL. An ``InputError`` is raised unless exactly one such file exists.
    """
    require_known('encoder', encoder, ENCODERS)
    require_known('benchmark', benchmark, (*BENCHMARKS, 'synthetic'))
    name = f'stdcl/stdcl-{encoder}' if stdcl else f'{encoder}/{encoder}'
    pattern = f'{name}_synthetic.py' if benchmark == 'synthetic' else (
        f'{name}_[0-9]*_{benchmark}-keypoint-*.py')
    found = sorted(CONFIGS.glob(pattern))
    if len(found) != 1:
        raise InputError(
            f'configs/{pattern} matches {len(found)} files, expected one.')
    return found[0]
