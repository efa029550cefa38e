"""Convert a checkpoint of CTR-GCN's authors to one of this project."""
import authors_checkpoint as authors
import torch

SUBSETS = range(3)


def swap_axes(tensor: torch.Tensor) -> torch.Tensor:
    """A kernel over (T, V) as one over (V, T)."""
    return tensor.mT if tensor.dim() == 4 else tensor


def interleaved(*tensors: torch.Tensor) -> torch.Tensor:
    """Channels of the subsets in turn."""
    return torch.stack(tensors, dim=1).flatten(0, 1)


def weights(*tensors: torch.Tensor) -> torch.Tensor:
    """1x1 kernels of the subsets as matrices."""
    return torch.stack(tensors)[..., 0, 0]


def biases(*tensors: torch.Tensor) -> torch.Tensor:
    """Biases of the subsets as columns."""
    return torch.stack(tensors)[..., None]


def graph_convolution(ours: str, block: str, number: int) -> authors.Table:
    """Rows for the spatial part of a block."""
    theirs = f'{block}.gcn1'

    def convs(which: int, part: str = '') -> list:
        return [f'{theirs}.convs.{k}.conv{which}{part}' for k in SUBSETS]

    table = {
        f'{ours}.topology': ([f'{theirs}.PA'], authors.same),
        f'{ours}.alpha': ([f'{theirs}.alpha'], authors.same),
        **authors.layer(f'{ours}.relation', convs(1) + convs(2)),
        **authors.layer(f'{ours}.transform', convs(3), interleaved),
        f'{ours}.refine': (convs(4, '.weight'), weights),
        f'{ours}.refine_bias': (convs(4, '.bias'), biases),
        **authors.bn(f'{ours}.bn', f'{theirs}.bn')}
    if number in (1, 5, 8):  # which change the channels
        table.update(authors.conv_bn(f'{ours}.shortcut', f'{theirs}.down.0',
                                     f'{theirs}.down.1'))
    return table


def make_table(source: authors.Tensors) -> authors.Table:
    """What each of our tensors is made of, for the authors' ``source``."""
    return authors.of_blocks(source, graph_convolution, swap_axes,
                             residuals=(5, 8))


if __name__ == '__main__':
    authors.main('CTR-GCN', make_table)
