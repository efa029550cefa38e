"""Write the features of a trained model to a file; see --help."""
import argparse
import logging
from pathlib import Path

EPILOG = '''example:
  python tools/analysis/extract_features.py CONFIG CHECKPOINT features.npz

arrays, for the N sequences of the test set, in its order:
  names, labels, predictions            (N,)
  global_                               (N, C), the encoder's output averaged
                                        over persons, frames and joints
  spatial, temporal                     (N, D), if the config and the
                                        checkpoint have STD-CL
  attention_joints, attention_frames    (N, M, V') and (N, M, T'), with an
                                        attentive decoupler: over joints and
                                        frames of the encoder's output (for
                                        HCN, channels instead of joints)
  classes                               their names, if the data set has them

To measure them, use projects.stdcl.evaluation.features.measure.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write the features and attention of a trained model on '
        'its test set to an *.npz file.', epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file (*.pth)')
    parser.add_argument('out', type=Path, help='file to write (*.npz)')
    parser.add_argument('--device', default='cpu', help='default: cpu')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE',
                        help='override config entries')
    args = parser.parse_args()
    if args.out.suffix != '.npz':
        parser.error(f'out is {args.out}, expected *.npz.')
    return args


def main() -> None:
    args = parse_args()
    import numpy as np
    from mmengine.runner import Runner

    from projects.stdcl.apis import load_model
    from projects.stdcl.evaluation.features import extract
    from projects.stdcl.utils.atomic_write import atomic_write
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(args.config):
        cfg = load_config(args.config, args.cfg_options)
        model = load_model(cfg, args.checkpoint, args.device)
        arrays = extract(model, Runner.build_dataloader(cfg.test_dataloader))
        with atomic_write(args.out) as partial, open(partial, 'wb') as file:
            np.savez(file, **arrays)
    shapes = ', '.join(f'{name} {array.shape}'
                       for name, array in arrays.items())
    print(f'{args.out}: {shapes}')


if __name__ == '__main__':
    main()
