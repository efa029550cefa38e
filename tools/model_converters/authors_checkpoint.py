"""What the converters of the authors' checkpoints share.

A converter is a table: for each of our tensors the authors' tensors it is made
of, and how they are joined. What the table does not use, or does not find, is
an error.
"""
import argparse
import os.path as osp
import pickle
import sys
from typing import Callable, Dict, Sequence, Tuple

import torch

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

from mmengine.runner import save_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

import projects.stdcl  # noqa: F401  loads and saves safely

Tensors = Dict[str, torch.Tensor]
# our name: the authors' names, and what joins their tensors
Table = Dict[str, Tuple[Sequence[str], Callable]]

BN = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')


def same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def stacked(*tensors: torch.Tensor) -> torch.Tensor:
    """Channels of several layers one after the other."""
    # the steps that a BN has counted are the same for all
    return torch.cat(tensors) if tensors[0].dim() else tensors[0]


def layer(ours: str, theirs: Sequence[str], join: Callable = stacked,
          parts: Sequence[str] = ('weight', 'bias')) -> Table:
    """Rows of the table for a layer that is made of one or more of theirs."""
    return {f'{ours}.{part}': ([f'{name}.{part}' for name in theirs], join)
            for part in parts}


def bn(ours: str, *theirs: str) -> Table:
    """Rows for a batch norm, its statistics included."""
    return layer(ours, theirs, parts=BN)


def multi_scale_tcn(ours: str, theirs: str, join_conv: Callable) -> Table:
    """Rows for the temporal part of CTR-GCN and Hyperformer."""
    branch = f'{theirs}.branches.'
    table = {
        **layer(f'{ours}.entry', [f'{branch}{i}.0' for i in range(3)]),
        **bn(f'{ours}.entry_bn', *[f'{branch}{i}.1' for i in range(3)]),
        **layer(f'{ours}.point', [f'{branch}3.0']),
        **bn(f'{ours}.bn', f'{branch}0.3.bn', f'{branch}1.3.bn',
             f'{branch}2.4', f'{branch}3.1')}
    for i in range(2):
        table.update(layer(f'{ours}.convs.{i}', [f'{branch}{i}.3.conv'],
                           join_conv))
    return table


def conv_bn(ours: str, conv: str, norm: str) -> Table:
    """Rows for a 1x1 convolution with BN."""
    return {**layer(f'{ours}.conv', [conv]), **bn(f'{ours}.bn', norm)}


def decoupler(source: Tensors) -> Table:
    """Rows for the decoupler of the STD-CL release, where there is one."""
    if not any(name.startswith('std.') for name in source):
        return {}
    ours = 'cls_head.decoupler.'
    return {**layer(f'{ours}spatial.reduce', ['std.conv1']),
            **layer(f'{ours}spatial.project', ['std.convs']),
            **layer(f'{ours}temporal.reduce', ['std.conv2']),
            **layer(f'{ours}temporal.project', ['std.convt'])}


def of_blocks(source: Tensors, spatial: Callable, tcn_kernel: Callable,
              residuals: Sequence[int]) -> Table:
    """The whole table of CTR-GCN and Hyperformer, which share the frame.

    Args:
        source (dict[str, Tensor]): The authors' tensors.
        spatial (callable): Makes the rows of a block's spatial part from our
            and their names of it and the block's number, from 1.
        tcn_kernel (callable): Turns a temporal kernel.
        residuals (sequence[int]): Blocks with a convolution around them.
    """
    table = {**bn('backbone.data_bn', 'data_bn'),
             **layer('cls_head.fc', ['fc']), **decoupler(source)}
    for i in range(1, 11):
        ours, theirs = f'backbone.blocks.{i - 1}', f'l{i}'
        table.update(spatial(f'{ours}.spatial', theirs, i))
        table.update(multi_scale_tcn(f'{ours}.temporal', f'{theirs}.tcn1',
                                     tcn_kernel))
        if i in residuals:
            table.update(conv_bn(
                f'{ours}.residual', f'{theirs}.residual.conv',
                f'{theirs}.residual.bn'))
    return table


def convert(source: Tensors, table: Table) -> Tensors:
    """Fill our tensors from the authors'.

    Args:
        source (dict[str, Tensor]): The authors' state dict.
        table (dict): Our names, as :data:`Table`.

    Returns:
        dict[str, Tensor]: Our state dict.

    Raises:
        ValueError: Names of the authors' that the table does not use, or that
            it misses, all of them listed.
    """
    used = [name for names, _ in table.values() for name in names]
    missing = _listed(name for name in used if name not in source)
    unknown = _listed(name for name in source if name not in set(used))
    if missing or unknown:
        raise ValueError(
            f'unknown names in it: {unknown or "none"}; names that are '
            f'missing: {missing or "none"}.')
    return {ours: join(*[source[name] for name in names])
            for ours, (names, join) in table.items()}


def _listed(names) -> str:
    return ', '.join(sorted(set(names)))


def load(path: str) -> Tensors:
    """Read the authors' file: a state dict, alone or under 'state_dict'.

    Raises:
        FileNotFoundError, UnpicklingError: It is not there, or holds more
            than tensors.
        ValueError: It is not readable, or holds no state dict.
    """
    source = CheckpointLoader.load_checkpoint(path, map_location='cpu',
                                              logger='silent')
    if isinstance(source, dict):
        source = source.get('state_dict', source)
    if not isinstance(source, dict) or not all(
            isinstance(value, torch.Tensor) for value in source.values()):
        raise ValueError('it holds no state dict, which is a dict of tensors.')
    return {str(name).removeprefix('module.'): value
            for name, value in source.items()}


def main(encoder: str, make_table: Callable[[Tensors], Table]) -> None:
    """The command of a converter.

    Args:
        encoder (str): Its name, for messages.
        make_table (callable): Makes the table for the authors' tensors.
    """
    script = osp.basename(sys.argv[0])
    parser = argparse.ArgumentParser(
        description=f'Convert a checkpoint of the published code of {encoder} '
        'to one of this project.',
        epilog=f'example: python tools/model_converters/{script} theirs.pt '
        f'{script[:-3]}.pth, then: python tools/test.py CONFIG '
        f'{script[:-3]}.pth')
    parser.add_argument('source', help='their file (*.pt)')
    parser.add_argument('out', help='file to write (*.pth)')
    args = parser.parse_args()
    try:
        source = load(args.source)
        tensors = convert(source, make_table(source))
        save_checkpoint(dict(state_dict=tensors, meta=dict(
            converted_from=osp.basename(args.source), encoder=encoder)),
            args.out)
    # tensors of other shapes: whatever fails first as they are joined
    except (ValueError, RuntimeError, OSError, IndexError, TypeError,
            pickle.UnpicklingError) as error:
        sys.exit(f'error: {args.source} was not converted to {encoder}: '
                 f'{error}')
    classes = [len(tensor) for name, tensor in tensors.items()
               if name in ('cls_head.fc.bias', 'cls_head.fc8.bias')]
    print(f'{args.out}: {encoder}, {classes[0]} classes, {len(tensors)} '
          f'tensors made of {len(source)}')
