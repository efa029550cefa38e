"""Count the operations of a training step, with and without STD-CL.

On a GPU, small batches take as long as it takes to start the operations.

Example:
    python runs/benchmarks/operations.py
"""
import argparse
from pathlib import Path

OUT = Path(__file__).parent / 'operations.csv'


def count(encoder: str) -> dict:
    """Return the row of an encoder."""
    from mmengine.config import Config

    from projects.stdcl.catalogue import ENCODERS, find_config
    from projects.stdcl.evaluation.training_step import count_operations
    plain, stdcl = (count_operations(Config.fromfile(
        find_config(encoder, 'nw-ucla-xview', method)))
        for method in (False, True))
    return {'encoder': ENCODERS[encoder].title, 'operations, plain': plain,
            'operations, STD-CL': stdcl, 'added by STD-CL': stdcl - plain,
            'added, %': round(100 * (stdcl / plain - 1))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--encoders', nargs='+', metavar='NAME',
                        help='folders in configs/; default: all encoders')
    parser.add_argument('--out', type=Path, default=OUT,
                        help='CSV file to write; default: %(default)s')
    args = parser.parse_args()
    import pandas as pd

    from projects.stdcl.catalogue import ENCODERS
    from projects.stdcl.utils import environment
    frame = pd.DataFrame(map(count, args.encoders or ENCODERS)).assign(
        command='python runs/benchmarks/operations.py',
        commit=environment.current_commit()['commit'],
        versions=f'torch={environment.package_versions()["torch"]}')
    frame.to_csv(args.out, index=False)


if __name__ == '__main__':
    main()
