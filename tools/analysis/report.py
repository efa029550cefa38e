"""Write an HTML page that shows how STD-CL changes an encoder's features.

The page describes the outputs of a model with STD-CL on its test set. With
--plain, it compares them with the outputs of the same encoder trained without
STD-CL. The page shows the accuracy, the training curves, t-SNE plots, measures
of class separation, the accuracy of each class, confusion matrices, the
attention over joints and frames (attentive decoupler), and a player for single
sequences. It is a single file and works offline.
"""
import argparse
import logging
from pathlib import Path

EXAMPLE = '''example:
  python tools/analysis/report.py CONFIG CHECKPOINT report.html \\
      --plain PLAIN_CONFIG PLAIN_CHECKPOINT'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file of the model with STD-CL')
    add('checkpoint', help='checkpoint file (*.pth)')
    add('out', type=Path, help='page to write (*.html)')
    add('--plain', nargs=2, metavar=('CONFIG', 'CHECKPOINT'),
        help='config and checkpoint of the same encoder, trained without '
        'STD-CL')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--names', nargs='+', metavar='NAME',
                       help='names of the sequences for the player '
                       '(frame_dir)')
    which.add_argument('--num', type=int, default=12, help='number of '
                       'sequences for the player, preferably those that only '
                       'one of the models classifies correctly; default: 12')
    add('--device', default='cpu',
        help='device that runs the model; default: cpu')
    add('--cfg-options', action='extend', nargs='+', metavar='KEY=VALUE',
        help='override entries of both configs; write a list as key="[a,b]"')
    args = parser.parse_args()
    if args.out.suffix != '.html':
        parser.error(f'out is {args.out}, expected a *.html file.')
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly
    logging.disable(logging.INFO)  # MMEngine logs to stdout
    with end_cleanly(args.config, args):
        from projects.stdcl.visualization.report import write_report
        model, plain = (
            pair and (load_config(pair[0], args.cfg_options), pair[1])
            for pair in ((args.config, args.checkpoint), args.plain))
        top1 = write_report(args.out, model, plain, args.names, args.num,
                            args.device)
    print(f'{args.out}: top-1 ' + ', '.join(
        f'{title} {value:.2f} %' for title, value in top1.items()))


if __name__ == '__main__':
    main()
