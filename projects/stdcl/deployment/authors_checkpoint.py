"""Convert checkpoints from the authors' code to this project's tensor names.

For each tensor of this project, a table lists the authors' tensors to join.
"""
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from ..catalogue import ENCODERS
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError, require_known

Tensors = dict[str, torch.Tensor]
# our name -> the authors' names, and the function that joins their tensors;
# most functions of this module return the rows for the layer that they name
Table = dict[str, tuple[Sequence[str], Callable]]

STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


def _stack(*tensors: torch.Tensor) -> torch.Tensor:
    # num_batches_tracked is a scalar, which is the same in all joined layers
    return torch.cat(tensors) if tensors[0].dim() else tensors[0]


def _linear(*tensors: torch.Tensor) -> torch.Tensor:
    """Concatenate 1x1 kernels as weights of a linear layer."""
    return torch.cat(tensors)[..., 0, 0]


def _group(table: torch.Tensor, *kernels: torch.Tensor) -> torch.Tensor:
    """Stack K grouped 1x1 kernels of H heads as (H, K, C / H, C' / H)."""
    stacked = torch.stack(kernels)[..., 0, 0]  # (K, C', C / H)
    return stacked.unflatten(1, (table.shape[1], -1)).permute(1, 0, 3, 2)


def _layer(ours: str, *theirs: str, join: Callable = _stack) -> Table:
    # only the names of batch norm layers end in bn
    parts = 'weight', 'bias', *(STATISTICS if ours.endswith('bn') else ())
    return {f'{ours}.{part}': ([f'{name}.{part}' for name in theirs], join)
            for part in parts}


def _conv_bn(ours: str, conv: str, norm: str) -> Table:
    return {**_layer(f'{ours}.conv', conv), **_layer(f'{ours}.bn', norm)}


def _multi_scale_tcn(ours: str, theirs: str, join_conv: Callable) -> Table:
    branch = f'{theirs}.branches.'
    table = {
        **_layer(f'{ours}.entry', *[f'{branch}{i}.0' for i in range(3)]),
        **_layer(f'{ours}.entry_bn', *[f'{branch}{i}.1' for i in range(3)]),
        **_layer(f'{ours}.point', f'{branch}3.0'),
        **_layer(f'{ours}.bn', f'{branch}0.3.bn', f'{branch}1.3.bn',
                 f'{branch}2.4', f'{branch}3.1')}
    for i in range(2):
        table.update(_layer(f'{ours}.convs.{i}', f'{branch}{i}.3.conv',
                            join=join_conv))
    return table


def _decoupler(source: Tensors) -> Table:
    if not any(name.startswith('std.') for name in source):
        return {}
    ours = 'cls_head.decoupler.'
    return {**_layer(f'{ours}spatial.reduce', 'std.conv1'),
            **_layer(f'{ours}spatial.project', 'std.convs'),
            **_layer(f'{ours}temporal.reduce', 'std.conv2'),
            **_layer(f'{ours}temporal.project', 'std.convt')}


def _blocks(source: Tensors, spatial: Callable, join_conv: Callable = _stack,
            residuals: Sequence[int] = (5, 8)) -> Table:
    """Return rows for CTR-GCN, Hyperformer or BlockGCN.

    In the blocks numbered ``residuals``, the residual path is a convolution.
    """
    table = {**_layer('backbone.data_bn', 'data_bn'),
             **_layer('cls_head.fc', 'fc'), **_decoupler(source)}
    for i in range(1, 11):
        ours, theirs = f'backbone.blocks.{i - 1}', f'l{i}'
        table.update(spatial(f'{ours}.spatial', theirs, i))
        table.update(_multi_scale_tcn(f'{ours}.temporal', f'{theirs}.tcn1',
                                      join_conv))
        if i in residuals:
            table.update(_conv_bn(
                f'{ours}.residual', f'{theirs}.residual.conv',
                f'{theirs}.residual.bn'))
    return table


def _ctrgcn_spatial(ours: str, block: str, number: int) -> Table:
    theirs = f'{block}.gcn1'

    def convs(which: int, part: str = '') -> list:  # for the three subsets
        return [f'{theirs}.convs.{k}.conv{which}{part}' for k in range(3)]

    table = {
        f'{ours}.topology': ([f'{theirs}.PA'], _stack),
        f'{ours}.alpha': ([f'{theirs}.alpha'], _stack),
        **_layer(f'{ours}.relation', *convs(1), *convs(2)),
        **_layer(f'{ours}.transform', *convs(3), join=lambda *convs:
                 torch.stack(convs, dim=1).flatten(0, 1)),  # interleaved
        f'{ours}.refine': (convs(4, '.weight'), lambda *kernels:
                           torch.stack(kernels)[..., 0, 0]),
        f'{ours}.refine_bias': (convs(4, '.bias'), lambda *biases:
                                torch.stack(biases)[..., None]),
        **_layer(f'{ours}.bn', f'{theirs}.bn')}
    if number in (1, 5, 8):  # the number of channels changes
        table.update(_conv_bn(f'{ours}.shortcut', f'{theirs}.down.0',
                              f'{theirs}.down.1'))
    return table


def _hyperformer_spatial(ours: str, block: str, number: int) -> Table:
    vit, theirs = f'{block}.vit1', f'{block}.vit1.attn'
    table = {
        **_layer(f'{ours}.norm', f'{vit}.norm1'),
        f'{ours}.qkv.weight': (
            [f'{theirs}.q.weight', f'{theirs}.kv.weight'], _linear),
        f'{ours}.hyperedge.weight': ([f'{vit}.pe_proj.weight'], _linear),
        f'{ours}.hyperedge_bias': ([f'{theirs}.w1'], _stack),
        f'{ours}.hop_embedding': (
            [f'{theirs}.rpe', f'{theirs}.w1'],
            lambda rpe, w: rpe.view(-1, *w.shape)),  # (heads, channels)
        f'{ours}.alpha': ([f'{theirs}.alpha'], _stack),
        f'{ours}.outer': ([f'{theirs}.outer'], _stack),
        # 1x1 kernels become those of a 1D convolution
        **_layer(f'{ours}.proj', f'{theirs}.proj', join=lambda x: x.view(
            x.shape[:3]))}
    if number == 1:  # the number of channels changes
        table[f'{ours}.skip.weight'] = ([f'{vit}.skip_proj.weight'], _linear)
    return table


def _blockgcn_spatial(ours: str, block: str, number: int) -> Table:
    theirs, tables = f'{block}.gcn1', [f'{block}.gcn1.fc1']

    def convs(part: str) -> list:  # for the three subsets
        return [f'{theirs}.fc2.{k}.{part}' for k in range(3)]

    table = {
        f'{ours}.weight': (tables, _stack),
        f'{ours}.hop_weight': ([f'{theirs}.rpe'], _stack),
        f'{ours}.conv': (tables + convs('weight'), _group),
        f'{ours}.bias': (convs('bias'), lambda *biases: torch.stack(biases)),
        **_layer(f'{ours}.bn', f'{theirs}.bn')}
    if number == 5:  # the number of channels changes
        table.update(_conv_bn(f'{ours}.shortcut', f'{theirs}.down.0',
                              f'{theirs}.down.1'))
    return table


def _blockgcn_topology() -> Table:
    table = {
        'backbone.position_embedding': (['pos_embedding'], lambda x: x[0]),
        'backbone.topology.centers': (['topo.pl.centres'], _stack),
        'backbone.topology.sharpness': (['topo.pl.sharpness'], _stack),
        **_layer('backbone.joint_embedding', 'to_joint_embedding')}
    for i in range(10):
        ours = f'backbone.topology_projections.{i}'
        table.update({**_layer(f'{ours}.linear', f't{i}.mlp'),
                      **_layer(f'{ours}.bn', f't{i}.bn')})
    return table


def _hcn(source: Tensors) -> Table:
    table = {**_layer('backbone.conv5', 'conv5.0'),
             **_layer('backbone.conv6', 'conv6.0'),
             **_layer('cls_head.fc7', 'fc7.0'),
             **_layer('cls_head.fc8', 'fc8'), **_decoupler(source)}
    for stream, suffix in ('joint_stream', ''), ('motion_stream', 'm'):
        for conv, end in dict(conv1='.0', conv2='', conv3='.0',
                              conv4='.0').items():
            table.update(_layer(f'backbone.{stream}.{conv}',
                                f'{conv}{suffix}{end}'))
    return table


# key of catalogue.ENCODERS -> function from the authors' tensors to a table
TABLES = {
    'blockgcn': lambda source: {**_blocks(source, _blockgcn_spatial),
                                **_blockgcn_topology()},
    # in time, kernels (T, V) become (V, T)
    'ctrgcn': lambda source: _blocks(source, _ctrgcn_spatial, lambda x:
                                     x.mT if x.dim() == 4 else x),
    'hyperformer': lambda source: _blocks(source, _hyperformer_spatial,
                                          residuals=(1, 5, 8)),
    'hcn': _hcn}


def convert(encoder: str, source: Tensors) -> Tensors:
    """Convert a state dict from the authors' code to this project's names.

    The counters of batch norm (``num_batches_tracked``), which some files do
    not contain, default to 0. An ``InputError`` lists all tensors that are
    missing or unexpected. ``encoder`` is a key of :data:`TABLES`.
    """
    require_known('encoder', encoder, TABLES)
    table = TABLES[encoder](source)
    used = {name for names, _ in table.values() for name in names}
    source = {**{name: torch.tensor(0) for name in used
                 if name.endswith('num_batches_tracked')}, **source}
    if used != set(source):
        unexpected, missing = (', '.join(sorted(names)) or 'none' for names in
                               (set(source) - used, used - set(source)))
        raise InputError(f'the tensors do not fit {encoder}. Unexpected '
                         f'tensors: {unexpected}. Missing tensors: {missing}.')
    return {ours: join(*[source[name] for name in names])
            for ours, (names, join) in table.items()}


def convert_file(encoder: str, source: Path, out: Path) -> str:
    """Convert a checkpoint file as :func:`convert` does; return a summary."""
    tensors = CheckpointLoader.load_checkpoint(
        str(source), map_location='cpu', logger='silent')
    tensors = tensors.get('state_dict', tensors)
    converted = convert(encoder, {
        str(name).removeprefix('module.'): value
        for name, value in tensors.items()})
    with atomic_write(out) as partial:
        torch.save(dict(state_dict=converted, meta=dict(
            converted_from=source.name, encoder=encoder)), partial)
    return (f'{out}: converted {len(tensors)} tensors of '
            f'{ENCODERS[encoder].title} to {len(converted)}.')
