"""What STD-CL costs at test time: parameters, FLOPs, milliseconds of a clip.

For each encoder the network of the plain config and that of the config with
STD-CL, with the same weights, predict one clip in turn. Parameters and FLOPs
are those that predicting uses.

Example:
    python tools/benchmark/inference_cost.py --out inference_cost.json
"""
import argparse
import json
import logging
import platform
import sys
from pathlib import Path

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.progress import track

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import projects.stdcl  # noqa: F401  repairs the stack
from projects.stdcl.apis.clip_shape import find_clip_shape
from projects.stdcl.evaluation.flops import analyse
from projects.stdcl.utils.environment import (
    current_commit,
)
from tools.benchmark.timing import spread, timed
from projects.stdcl.catalogue import find_config

ENCODERS = ('stgcn', '2s-agcn', 'ctrgcn', 'hyperformer', 'hcn')
BENCHMARK = 'nw-ucla-xview'


def make_models(plain: Config, stdcl: Config) -> dict:
    """Both networks, with the same weights, in eval mode."""
    torch.manual_seed(0)
    models = dict(plain=MODELS.build(plain.model),
                  stdcl=MODELS.build(stdcl.model))
    models['stdcl'].load_state_dict(models['plain'].state_dict(),
                                    strict=False)
    return {name: model.eval() for name, model in models.items()}


@torch.inference_mode()
def predict(model: nn.Module, clip: torch.Tensor) -> torch.Tensor:
    """Scores of a clip, (1, M, T, V, C)."""
    sample, = model.predict(clip[None], [ActionDataSample()])
    return sample.pred_score


def run_encoder(encoder: str, repeats: int) -> dict:
    """All figures of an encoder."""
    configs = {name: Config.fromfile(find_config(
        encoder, BENCHMARK, name == 'stdcl'))
        for name in ('plain', 'stdcl')}
    models = make_models(**configs)
    shape = find_clip_shape(configs['plain'], models['plain'])
    clip = torch.randn(1, *shape)
    if not torch.equal(*(predict(model, clip) for model in models.values())):
        raise SystemExit(f'error: {encoder}: the scores of the two networks '
                         'differ, expected the same.')
    seconds = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            seconds[name].append(
                timed(lambda model=model: predict(model, clip), 'cpu'))
    costs = {name: analyse(cfg, shape, num_sequences=1020)['costs']['test']
             for name, cfg in configs.items()}
    return {name: dict(parameters=costs[name][0], flops=costs[name][1],
                       seconds=spread(seconds[name])) for name in models} | {
        'clip': list(shape), 'ratio': spread(
            [b / a for a, b in zip(seconds['plain'], seconds['stdcl'])])}


def main() -> None:
    description, example = __doc__.split('\n\nExample:\n')
    parser = argparse.ArgumentParser(
        description=description, epilog=f'example:\n{example}',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, default=1,
                        help='CPU threads; default: 1')
    parser.add_argument('--repeats', type=int, default=50,
                        help='clips to time; default: 50')
    parser.add_argument('--out', type=Path, required=True,
                        help='JSON file to write')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    init_default_scope('mmaction')
    args.out.write_text(json.dumps(dict(
        **current_commit(), torch=torch.__version__,
        processor=platform.machine(), threads=args.threads,
        repeats=args.repeats, cases={
            encoder: run_encoder(encoder, args.repeats)
            for encoder in track(ENCODERS, description='encoders')}),
        indent=1) + '\n')


if __name__ == '__main__':
    main()
