"""Count parameters and FLOPs, of the network and of what STD-CL adds.

Examples:
    python tools/analysis/get_flops.py CONFIG
    python tools/analysis/get_flops.py CONFIG --num-sequences 40091 --json

Convolutions, linear layers and matrix products of the forward pass are
counted, for one clip. A multiply-add counts as one FLOP, as in MMEngine's and
MMAction2's own tools. No data are needed.
"""
import argparse
import json
import logging

LABELS = dict(
    encoder='encoder', classifier='classifier', test='total at test',
    decoupler='STD-CL: decoupler', contrast='STD-CL: products with the banks',
    training='total in training')


def show(result: dict) -> None:
    """Print what ``analyse`` returns."""
    costs, slots = result['costs'], result.get('slots')
    sizes = zip(result['shape'], ('persons', 'frames', 'joints', 'channels'))
    print(f'{result["config"]}\nOne clip: '
          f'{", ".join(f"{size} {what}" for size, what in sizes)}. Forward '
          'pass.\nA multiply-add counts as one FLOP.\n\n'
          f'{"":34}{"parameters":>12}{"FLOPs":>17}')
    for name, label in LABELS.items():
        if name in costs:
            print(f'{label:34}{costs[name][0]:12,}{costs[name][1]:17,}')
    if 'training' in costs:
        print(f'\nA batch of {result["batch_size"]} in training: '
              f'{result["batch_size"] * costs["training"][1]:,} FLOPs.')
        if slots:
            print(f'The two memory banks, {slots:,} slots each: '
                  f'{result["bank_bytes"]:,} bytes.')
    else:
        print('\nThe annotation file of the training set does not exist. For '
              'the products with\nthe banks, their memory and the total in '
              'training give --num-sequences.')


def positive(text: str) -> int:
    """An integer of at least 1."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def parse_args() -> argparse.Namespace:
    description, epilog = __doc__.split('\n\n', 1)
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape', nargs=4, type=positive, metavar=('M', 'T', 'V', 'C'),
        help='persons, frames, joints and channels of a clip; default: those '
        'of the config')
    parser.add_argument(
        '--num-sequences', type=positive, metavar='N',
        help='size of the training set, and so of the banks; default: that '
        'of the data set, if its file exists')
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; lists as key="[a,b]"')
    parser.add_argument('--json', action='store_true', help='print JSON')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from projects.stdcl.evaluation.flops import analyse
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(args.config):
        result = analyse(load_config(args.config, args.cfg_options),
                         args.shape, args.num_sequences)
    if args.json:
        result['costs'] = {name: dict(parameters=cost[0], flops=cost[1])
                           for name, cost in result['costs'].items()}
        print(json.dumps(result, indent=1))
    else:
        show(result)


if __name__ == '__main__':
    main()
