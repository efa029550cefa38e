"""Measure what STD-CL costs at test time: parameters, FLOPs, milliseconds.

For each encoder, the model of the plain config and the one with STD-CL, with
the same weights, predict one clip of NW-UCLA in turn. Parameters and FLOPs are
those of predicting: decoupler and banks lie idle.

example: python -m tools.benchmark.inference_cost
"""
from tools.benchmark import timing

BENCHMARK, NUM_SEQUENCES = 'nw-ucla-xview', 1020
METHODS = {'plain': False, 'STD-CL': True}


def make_models(configs: dict) -> dict:
    """Both models, with the same weights, in eval mode."""
    import torch
    from mmaction.registry import MODELS
    torch.manual_seed(0)
    models = {name: MODELS.build(cfg.model).eval()
              for name, cfg in configs.items()}
    models['STD-CL'].load_state_dict(models['plain'].state_dict(),
                                     strict=False)
    return models


def predict(model, clip):
    """Scores of a clip, (1, M, T, V, C)."""
    import torch
    from mmaction.structures import ActionDataSample
    with torch.inference_mode():
        sample, = model.predict(clip[None], [ActionDataSample()])
    return sample.pred_score


def run_encoder(encoder: str, repeats: int) -> dict:
    """All figures of an encoder.

    Raises:
        SystemExit: The scores of the two models differ.
    """
    import torch
    from mmengine.config import Config

    from projects.stdcl.apis.clip_shape import find_clip_shape
    from projects.stdcl.catalogue import ENCODERS, find_config
    from projects.stdcl.evaluation.flops import analyse
    configs = {name: Config.fromfile(find_config(encoder, BENCHMARK, stdcl))
               for name, stdcl in METHODS.items()}
    models = make_models(configs)
    shape = find_clip_shape(configs['plain'], models['plain'])
    clip = torch.randn(1, *shape)
    if not torch.equal(*(predict(model, clip) for model in models.values())):
        raise SystemExit(f'error: {encoder}: the scores of the two models '
                         'differ, expected the same.')
    seconds = timing.in_turn({name: lambda model=model: predict(model, clip)
                       for name, model in models.items()}, repeats)
    costs = {name: analyse(cfg, shape, NUM_SEQUENCES)['costs']['test']
             for name, cfg in configs.items()}
    return {
        'encoder': ENCODERS[encoder].title,
        **{f'parameters, {name}': cost[0] for name, cost in costs.items()},
        **{f'MFLOPs, {name}': round(cost[1] / 1e6, 1)
           for name, cost in costs.items()},
        **timing.milliseconds(seconds),
        'STD-CL : plain': timing.ratio(seconds['STD-CL'], seconds['plain']),
        'repeats': repeats}


def main() -> None:
    args = timing.parse_args(timing.make_parser(__doc__, 50))
    import logging

    from mmengine.registry import init_default_scope

    from projects.stdcl.catalogue import ENCODERS
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    init_default_scope('mmaction')
    timing.save(args.out / 'inference_cost.csv',
         [run_encoder(encoder, args.repeats) for encoder in ENCODERS],
         ['encoder'])


if __name__ == '__main__':
    main()
