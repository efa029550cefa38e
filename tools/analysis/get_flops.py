"""Count parameters and FLOPs, of the network and of what STD-CL adds.

Examples:
    python tools/analysis/get_flops.py CONFIG
    python tools/analysis/get_flops.py CONFIG --num-sequences 40091 --json

Counted are convolutions, linear layers and matrix products of the forward
pass, for one clip. A multiply-add counts as one FLOP, as in MMEngine's and
MMAction2's own tools. No data are needed.
"""
import argparse
import json
import logging
import os.path as osp
import sys
from typing import Callable, Optional, Tuple

import torch
import torch.nn as nn
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, bmm_flop

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

import projects.stdcl  # noqa: F401  repairs the stack
from projects.stdcl.apis.clip_shape import AXES, find_clip_shape
from projects.stdcl.datasets.training_sequences import (
    TrainingSequences,
)


def _product_in_place(_, a_shape, b_shape, out_shape=None, **kwargs) -> int:
    return bmm_flop(a_shape, b_shape)


# the counter knows only the form out of place
IN_PLACE = {torch.ops.aten.baddbmm_: _product_in_place}


def count_flops(function: Callable, *inputs) -> int:
    """FLOPs of a call; a multiply-add is one."""
    # without gradients, or free to choose, PyTorch takes kernels for
    # attention that go uncounted
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(
            display=False, custom_mapping=IN_PLACE) as counter:
        function(*inputs)
    return counter.get_total_flops() // 2


def count(module: nn.Module, *inputs) -> Tuple[int, int]:
    """Parameters and FLOPs of a module, in the mode that it is in."""
    flops = count_flops(module, *inputs)  # first: it finds lazy sizes
    return sum(p.numel() for p in module.parameters()), flops


def find_num_sequences(cfg: Config) -> Optional[int]:
    """Number of training sequences; None without the annotation file."""
    try:
        return len(TrainingSequences(
            DATASETS.build(cfg.train_dataloader.dataset)))
    except FileNotFoundError:
        return None


def analyse(cfg: Config, shape: Optional[tuple] = None,
            num_sequences: Optional[int] = None) -> dict:
    """Count everything for a config.

    Args:
        cfg (Config): The config.
        shape (tuple, optional): (M, T, V, C) of a clip. Defaults to
            :func:`find_clip_shape`.
        num_sequences (int, optional): Number S of training sequences.
            Defaults to :func:`find_num_sequences`.

    Returns:
        dict: ``config``, ``shape``, ``batch_size`` and ``costs``: parameters
        and FLOPs for one clip of ``encoder``, ``classifier``, ``test`` and
        ``training``; with STD-CL also of ``decoupler`` and ``contrast``, and
        ``num_sequences``, ``slots`` and ``bank_bytes``. What needs an unknown
        S is left out.

    Raises:
        ValueError: No shape is found, or the model fails on it.
    """
    init_default_scope(cfg.get('default_scope') or 'mmaction')
    model = MODELS.build(cfg.model).eval()
    shape = tuple(shape or find_clip_shape(cfg, model))
    clip, head = torch.zeros(1, *shape), model.cls_head
    try:
        feats = model.backbone(clip)  # (1, M, C, T, V)
    except Exception as error:
        raise ValueError(
            f'{cfg.filename}: {type(model.backbone).__name__} fails on a clip '
            f'of shape {shape} ({", ".join(AXES)}): {error}') from error

    decoupler = count(head.decoupler, feats) if hasattr(
        head, 'decoupler') else (0, 0)
    encoder, (parameters, flops) = (count(model.backbone, clip),
                                    count(head, feats))
    classifier = (parameters - decoupler[0], flops)
    # FLOPs at test are those of predicting, whatever the parts say
    test = (encoder[0] + classifier[0], count_flops(
        model.predict, clip[None], [ActionDataSample()]))
    costs = dict(encoder=encoder, classifier=classifier, test=test)
    result = dict(config=cfg.filename, shape=shape, costs=costs,
                  batch_size=cfg.train_dataloader.batch_size)
    if not hasattr(head, 'decoupler'):
        costs['training'] = test
        return result
    costs['decoupler'] = decoupler
    num_sequences = num_sequences or find_num_sequences(cfg)
    if num_sequences:
        head.resize_banks(num_sequences)
        banks = (head.spatial_bank, head.temporal_bank)
        contrast = sum(bank.features.numel() for bank in banks)
        costs['contrast'] = (0, contrast)
        costs['training'] = (test[0] + decoupler[0],
                             test[1] + decoupler[1] + contrast)
        result.update(num_sequences=num_sequences,
                      slots=len(head.spatial_bank),
                      bank_bytes=sum(bank.nbytes for bank in banks))
    return result


def show(result: dict) -> None:
    """Print what :func:`analyse` returns."""
    costs, slots = result['costs'], result.get('slots')
    sizes = zip(result['shape'], AXES)
    print(f'{result["config"]}\nOne clip: '
          f'{", ".join(f"{size} {what}" for size, what in sizes)}. Forward '
          'pass.\nA multiply-add counts as one FLOP.\n\n'
          f'{"":34}{"parameters":>12}{"FLOPs":>17}')
    for name, label in dict(
            encoder='encoder', classifier='classifier', test='total at test',
            decoupler='STD-CL: decoupler', contrast='STD-CL: products with '
            'the banks', training='total in training').items():
        if name in costs:
            print(f'{label:34}{costs[name][0]:12,}{costs[name][1]:17,}')
    if 'training' in costs:
        print(f'\nA batch of {result["batch_size"]} in training: '
              f'{result["batch_size"] * costs["training"][1]:,} FLOPs.')
        if slots:
            print(f'The two memory banks, {slots:,} slots each: '
                  f'{result["bank_bytes"]:,} bytes.')
    else:
        print('\nThe annotation file of the training set is not there. For '
              'the products with\nthe banks, their memory and the total in '
              'training give --num-sequences.')


def positive(text: str) -> int:
    """A number from 1."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def main() -> None:
    description, epilog = __doc__.split('\n\n', 1)
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape', nargs=4, type=positive, metavar=('M', 'T', 'V', 'C'),
        help='persons, frames, joints, channels of a clip; default: what '
        'the config says')
    parser.add_argument(
        '--num-sequences', type=positive, metavar='N',
        help='size of the training set, and so of the banks; default: that '
        'of the data set, if its file is there')
    parser.add_argument('--json', action='store_true',
                        help='print JSON')
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    try:
        result = analyse(Config.fromfile(args.config), args.shape,
                         args.num_sequences)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    if args.json:
        result['costs'] = {name: dict(parameters=cost[0], flops=cost[1])
                           for name, cost in result['costs'].items()}
        print(json.dumps(result, indent=1))
    else:
        show(result)


if __name__ == '__main__':
    main()
