"""Count parameters and FLOPs at test time, which STD-CL does not change.

Example:
    python tools/analysis/get_flops.py CONFIG

The FLOPs are those of convolutions, linear layers and matrix products in the
forward pass of one clip. A multiply-add counts as one FLOP, as in MMAction2.
"""
import argparse
import logging


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file')
    add('--cfg-options', action='extend', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_args()
    from projects.stdcl.evaluation.flops import analyze
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(args.config, args):
        result = analyze(load_config(args.config, args.cfg_options))
    print('Shape of a clip (persons, frames, joints, channels): '
          f'{result["shape"]}\nparameters: {result["parameters"]:,}\n'
          f'FLOPs: {result["flops"]:,}')


if __name__ == '__main__':
    main()
