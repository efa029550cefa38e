"""Test an ONNX file on a config's test set, and time it, beside PyTorch."""
import argparse
import json
import logging
import os.path as osp
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Callable, Dict

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.runner import Runner
from rich.progress import track

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

from projects.stdcl.apis import load_model
from projects.stdcl.engine.hooks.run_record_hook import (
    current_commit,
    machine_kind,
    package_versions,
)
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.config_check import (
    add_model_arguments,
    load_config,
)
from projects.stdcl.utils.input_error import (
    InputError,
    end_cleanly,
)
from tools.analysis.get_flops import find_clip_shape
from tools.benchmark.timing import spread, timed
from tools.deployment.export_onnx import (
    TOLERANCE,
    Deployed,
    open_session,
)

EXAMPLES = '''example:
  python tools/deployment/test_onnx.py CONFIG CHECKPOINT stgcn.onnx'''
# takes (N, M, T, V, C), gives logits (N, classes)
Network = Callable[[np.ndarray], np.ndarray]


def make_networks(model: nn.Module, session) -> Dict[str, Network]:
    """The same network in PyTorch and in onnxruntime."""
    network = Deployed(model).eval()

    @torch.inference_mode()
    def in_torch(clips: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(clips)).numpy()

    def in_onnx(clips: np.ndarray) -> np.ndarray:
        return session.run(None, {'clips': clips})[0]

    return dict(pytorch=in_torch, onnxruntime=in_onnx)


def evaluate(cfg: Config, model: nn.Module,
             networks: Dict[str, Network]) -> dict:
    """Accuracy of both on the test set, and how much they differ.

    Returns:
        dict: ``sequences``, their number; ``top1`` of each in percent;
        ``agree``, whether both have the same classes; ``difference`` of the
        logits, at most, as a part of the largest.
    """
    hits: Dict[str, list] = {name: [] for name in networks}
    same, worst, largest = [], 0.0, 0.0
    loader = Runner.build_dataloader(cfg.test_dataloader)
    for batch in track(loader, description='test set'):
        clips = torch.stack(batch['inputs']).float()  # (N, clips, M, T, V, C)
        labels = torch.cat([sample.gt_label
                            for sample in batch['data_samples']])
        logits = {name: torch.from_numpy(network(clips.flatten(0, 1).numpy()))
                  for name, network in networks.items()}
        # the head knows how to put the clips of a sequence together
        classes = {name: model.cls_head.average_clip(
            scores, clips.shape[1]).argmax(dim=1)
            for name, scores in logits.items()}
        for name in networks:
            hits[name].append(classes[name] == labels)
        first, second = logits.values()
        same.append(torch.equal(*classes.values()))
        # NaN stays, which max would lose
        worst = np.maximum(worst, float((first - second).abs().max()))
        largest = np.maximum(largest, float(first.abs().max()))
    top1 = {name: 100 * float(torch.cat(found).float().mean())
            for name, found in hits.items()}
    return dict(sequences=sum(map(len, hits['pytorch'])), top1=top1,
                agree=all(same), difference=float(worst / largest))


def time_in_turn(networks: Dict[str, Network], shape: tuple,
                 repeats: int) -> dict:
    """Seconds for one clip, both in turn, after a first that does not count.

    Returns:
        dict: Minimum, median and maximum of each.
    """
    clip = np.random.default_rng(0).standard_normal((1, *shape), np.float32)
    seconds = {name: [] for name in networks}
    for _ in range(repeats + 1):
        for name, network in networks.items():
            seconds[name].append(
                timed(lambda network=network: network(clip), 'cpu'))
    return {name: spread(taken[1:]) for name, taken in seconds.items()}


def clip_shape(session, path: Path) -> tuple:
    """(M, T, V, C) of the clips that a file takes."""
    inputs = session.get_inputs()
    if [one.name for one in inputs] != ['clips'] or len(
            inputs[0].shape) != 5:
        raise InputError(
            f'{path}: its inputs are '
            f'{", ".join(f"{one.name} {one.shape}" for one in inputs)}, '
            'expected clips (batch, persons, frames, joints, channels), as '
            'export_onnx.py writes.')
    return tuple(inputs[0].shape[1:])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument('onnx', type=Path, help='ONNX file')
    parser.add_argument('--repeats', type=int, default=100,
                        help='clips to time; default: 100')
    parser.add_argument('--threads', type=int, default=1,
                        help='CPU threads of each; default: 1')
    parser.add_argument('--out', type=Path, help='JSON file to write')
    args = parser.parse_args()
    if min(args.repeats, args.threads) < 1:
        parser.error(f'--repeats is {args.repeats}, --threads {args.threads}; '
                     'expected 1 or more.')
    return args


def run(args: argparse.Namespace) -> dict:
    """The command; returns its record."""
    if not args.onnx.is_file():
        raise FileNotFoundError(f'{args.onnx} does not exist.')
    torch.set_num_threads(args.threads)
    cfg = load_config(args.config, args.cfg_options)
    model = load_model(cfg, args.checkpoint)
    session = open_session(args.onnx, args.threads)
    shape = clip_shape(session, args.onnx)
    expected = tuple(find_clip_shape(cfg, model))
    if shape != expected:
        raise InputError(f'{args.onnx} takes clips of {shape} (persons, '
                         f'frames, joints, channels), expected {expected} as '
                         'the test pipeline makes them.')
    networks = make_networks(model, session)
    return dict(
        config_file=osp.basename(args.config), **current_commit(),
        versions=dict(package_versions(), onnxruntime=version('onnxruntime')),
        machine=machine_kind(),
        bytes=args.onnx.stat().st_size, clip_shape=shape,
        repeats=args.repeats, **evaluate(cfg, model, networks),
        seconds=time_in_turn(networks, shape, args.repeats))


def show(record: dict) -> None:
    """Print a record."""
    print(f'{record["sequences"]} sequences; the logits differ by at most '
          f'{record["difference"]:.1e} of the largest, the classes '
          + ('are the same.' if record['agree'] else 'are not all the same.'))
    for name, taken in record['seconds'].items():
        print(f'{name:12} top-1 {record["top1"][name]:.2f}, one clip '
              f'{1e3 * taken["median"]:.2f} ms ({1e3 * taken["min"]:.2f} to '
              f'{1e3 * taken["max"]:.2f})')


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(args.config):
        record = run(args)
    show(record)
    if args.out:
        with atomic_write(args.out) as partial:
            partial.write_text(json.dumps(record, indent=1) + '\n')
    if not record['difference'] <= TOLERANCE:  # nor NaN
        sys.exit(f'error: {args.onnx}: the logits differ by more than '
                 f'{TOLERANCE:.0e} of the largest.')


if __name__ == '__main__':
    main()
