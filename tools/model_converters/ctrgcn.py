"""Convert a checkpoint of CTR-GCN's authors to one of this project."""
import torch
from authors_checkpoint import (Table, Tensors, bn, convert, decoupler, layer,
                                main, multi_scale_tcn, num_blocks, residual,
                                same)

SUBSETS = range(3)


def swap_axes(tensor: torch.Tensor) -> torch.Tensor:
    """Frames before joints to joints before frames, of a kernel."""
    return tensor.mT if tensor.dim() == 4 else tensor


def interleaved(*tensors: torch.Tensor) -> torch.Tensor:
    """Channels of the subsets in turn."""
    return torch.stack(tensors, dim=1).flatten(0, 1)


def weights_of_subsets(*tensors: torch.Tensor) -> torch.Tensor:
    return torch.stack(tensors)[..., 0, 0]


def biases_of_subsets(*tensors: torch.Tensor) -> torch.Tensor:
    return torch.stack(tensors)[..., None]


def block(ours: str, theirs: str, source: Tensors) -> Table:
    """Rows of the table for a block."""
    gcn = f'{theirs}.gcn1'

    def convs(number: int) -> list:
        return [f'{gcn}.convs.{k}.conv{number}' for k in SUBSETS]

    table = {
        f'{ours}.spatial.topology': ([f'{gcn}.PA'], same),
        f'{ours}.spatial.alpha': ([f'{gcn}.alpha'], same),
        **layer(f'{ours}.spatial.relation', convs(1) + convs(2)),
        **layer(f'{ours}.spatial.transform', convs(3), interleaved),
        f'{ours}.spatial.refine': (
            [f'{name}.weight' for name in convs(4)], weights_of_subsets),
        f'{ours}.spatial.refine_bias': (
            [f'{name}.bias' for name in convs(4)], biases_of_subsets),
        **bn(f'{ours}.spatial.bn', f'{gcn}.bn'),
        **multi_scale_tcn(f'{ours}.temporal', f'{theirs}.tcn1', swap_axes),
        **residual(f'{ours}.residual', f'{theirs}.residual', source)}
    if f'{gcn}.down.0.weight' in source:
        table.update(layer(f'{ours}.spatial.shortcut.conv', [f'{gcn}.down.0']))
        table.update(bn(f'{ours}.spatial.shortcut.bn', f'{gcn}.down.1'))
    return table


def make_table(source: Tensors) -> Table:
    """What each of our tensors is made of, for the authors' ``source``."""
    table = {**bn('backbone.data_bn', 'data_bn'),
             **layer('cls_head.fc', ['fc']), **decoupler(source)}
    for i in range(num_blocks(source)):
        table.update(block(f'backbone.blocks.{i}', f'l{i + 1}', source))
    return table


__all__ = ['convert', 'make_table']

if __name__ == '__main__':
    main('CTR-GCN', make_table)
