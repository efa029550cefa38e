"""Write the features of a trained model on its test set to a file.

Example:
    python tools/analysis/extract_features.py CONFIG CHECKPOINT features.npz

The file contains these arrays for N sequences: names, labels and predictions
(N,), and global_ (N, C), the mean of the encoder's output. With STD-CL, it
also contains spatial and temporal (N, D) and, for an attentive decoupler,
attention_joints (N, M, V'; not for HCN) and attention_frames (N, M, T'). If
the data set names its classes, it also contains classes.
"""
import argparse
import logging
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file (*.pth)')
    add('out', type=Path, help='file to write (*.npz)')
    add('--device', default='cpu',
        help='device that runs the model; default: cpu')
    add('--cfg-options', action='extend', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_args()
    if args.out.suffix != '.npz':
        parser.error(f'out is {args.out}, expected a *.npz file.')
    import numpy as np

    from projects.stdcl.apis.load_model import build_test_loader, load_model
    from projects.stdcl.utils.atomic_write import atomic_write
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly
    logging.disable(logging.INFO)  # MMEngine logs to stdout
    with end_cleanly(args.config, args):
        from projects.stdcl.evaluation.features import extract
        cfg = load_config(args.config, args.cfg_options)
        model = load_model(cfg, args.checkpoint, args.device)
        arrays = extract(model, build_test_loader(cfg, model))
        with atomic_write(args.out) as partial, open(partial, 'wb') as file:
            np.savez(file, **arrays)
    print(f'{args.out}: {len(arrays["names"])} sequences, {list(arrays)}')


if __name__ == '__main__':
    main()
