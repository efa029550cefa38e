"""Convert a checkpoint of Hyperformer's authors to one of this project.

With or without the decoupler of the STD-CL release, which is
ProjectionDecoupler here.
"""
import authors_checkpoint as authors
import torch


def linear(*tensors: torch.Tensor) -> torch.Tensor:
    """1x1 kernels of convolutions of the same input as one matrix."""
    return torch.cat(tensors)[..., 0, 0]


def conv1d(tensor: torch.Tensor) -> torch.Tensor:
    """A 1x1 kernel as one over a single axis."""
    return tensor.flatten(2) if tensor.dim() == 4 else tensor


def of_heads(rpe: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Channels as (heads, channels of a head), as those of w."""
    return rpe.view(-1, *w.shape)


def attention(ours: str, block: str, number: int) -> authors.Table:
    """Rows for the spatial part of a block."""
    vit, theirs = f'{block}.vit1', f'{block}.vit1.attn'
    table = {
        **authors.layer(f'{ours}.norm', [f'{vit}.norm1']),
        f'{ours}.qkv.weight': (
            [f'{theirs}.q.weight', f'{theirs}.kv.weight'], linear),
        f'{ours}.hyperedge.weight': ([f'{vit}.pe_proj.weight'], linear),
        f'{ours}.hyperedge_bias': ([f'{theirs}.w1'], authors.same),
        f'{ours}.hop_embedding': (
            [f'{theirs}.rpe', f'{theirs}.w1'], of_heads),
        f'{ours}.alpha': ([f'{theirs}.alpha'], authors.same),
        f'{ours}.outer': ([f'{theirs}.outer'], authors.same),
        **authors.layer(f'{ours}.proj', [f'{theirs}.proj'], conv1d)}
    if number == 1:  # which changes the channels
        table[f'{ours}.skip.weight'] = ([f'{vit}.skip_proj.weight'], linear)
    return table


def make_table(source: authors.Tensors) -> authors.Table:
    """What each of our tensors is made of, for the authors' ``source``."""
    return authors.of_blocks(source, attention, authors.same,
                             residuals=(1, 5, 8))


if __name__ == '__main__':
    authors.main('Hyperformer', make_table)
