"""Convert a checkpoint of Hyperformer's authors to one of this project.

With or without the decoupler of the STD-CL release.
"""
import torch
from authors_checkpoint import (Table, Tensors, bn, convert, decoupler, layer,
                                main, multi_scale_tcn, num_blocks, residual,
                                same)


def linear(*tensors: torch.Tensor) -> torch.Tensor:
    """Weights of 1x1 convolutions of the same input, as of a linear layer."""
    return torch.cat(tensors)[..., 0, 0]


def block(ours: str, theirs: str, source: Tensors) -> Table:
    """Rows of the table for a block."""
    vit, attention = f'{theirs}.vit1', f'{theirs}.vit1.attn'
    heads, channels = source.get(f'{attention}.w1', torch.empty(1, 1)).shape

    def of_heads(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.view(-1, heads, channels)

    def conv1d(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.flatten(2) if tensor.dim() == 4 else tensor

    ours_spatial = f'{ours}.spatial'
    table = {
        **layer(f'{ours_spatial}.norm', [f'{vit}.norm1']),
        f'{ours_spatial}.qkv.weight': (
            [f'{attention}.q.weight', f'{attention}.kv.weight'], linear),
        f'{ours_spatial}.hyperedge.weight': (
            [f'{vit}.pe_proj.weight'], linear),
        f'{ours_spatial}.hyperedge_bias': ([f'{attention}.w1'], same),
        f'{ours_spatial}.hop_embedding': ([f'{attention}.rpe'], of_heads),
        f'{ours_spatial}.alpha': ([f'{attention}.alpha'], same),
        f'{ours_spatial}.outer': ([f'{attention}.outer'], same),
        **layer(f'{ours_spatial}.proj', [f'{attention}.proj'], conv1d),
        **multi_scale_tcn(f'{ours}.temporal', f'{theirs}.tcn1', same),
        **residual(f'{ours}.residual', f'{theirs}.residual', source)}
    if f'{vit}.skip_proj.weight' in source:
        table[f'{ours_spatial}.skip.weight'] = (
            [f'{vit}.skip_proj.weight'], linear)
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
    main('Hyperformer', make_table)
