"""Make the README's results from recorded runs.

A recorded run is the ``run.json`` that training leaves in its work directory,
copied to runs/. Benchmarks' records are runs/benchmark_*.json.

Examples:
    python tools/analysis/results_table.py           rewrite README.md
    python tools/analysis/results_table.py --check   fail if it is stale
"""
import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'(<!-- results: .*? -->\n).*?(<!-- end of results -->)',
                   re.DOTALL)


def accuracy_table(folder: Path) -> list:
    """A row for each recorded training: last-epoch top-1."""
    rows = []
    for path in sorted(folder.glob('*.json')):
        if path.name.startswith('benchmark_'):
            continue
        run = json.loads(path.read_text())
        last = run['epochs'][-1]
        if not run['clean'] or 'val' not in last:
            raise SystemExit(
                f'error: {path}: clean is {run["clean"]} and the last epoch '
                f'has {sorted(last)}; a recorded run is made on a clean tree '
                'and validated after its last epoch.')
        name = run['config_file'].removesuffix('.py')
        hours = sum(epoch['seconds'] for epoch in run['epochs']) / 3600
        machine = run['machine']
        where = machine.get('gpu', f'CPU threads: {machine["threads"]}')
        rows.append(
            f'| [{name}](runs/{path.name}) | {last["epoch"]} | {run["seed"]} '
            f'| {100 * last["val"]["acc/top1"]:.2f} | {hours:.1f} h, {where} '
            f'| {run["commit"][:7]} |')
    if not rows:
        return []
    return ['| run | epochs | seed | top-1, last epoch | training | commit |',
            '| --- | --- | --- | --- | --- | --- |', *rows, '']


def loss_table(folder: Path) -> list:
    """The benchmark of the contrastive loss."""
    path = folder / 'benchmark_contrastive_loss.json'
    if not path.is_file():
        return []
    record = json.loads(path.read_text())
    where = record.get('gpu', f'CPU threads: {record["threads"]}')

    def ms(taken):
        return (f'{1e3 * taken["median"]:.1f} ({1e3 * taken["min"]:.1f} to '
                f'{1e3 * taken["max"]:.1f})')

    lines = [
        'Contrastive loss, forward and backward of one bank of 256 features, '
        f'milliseconds as median (minimum to maximum) of {record["repeats"]} '
        f'repeats, {where}, torch {record["torch"]} '
        f'([record](runs/{path.name}), `python '
        'tools/benchmark/contrastive_loss.py`):', '',
        '| bank | batch | ours | published algorithm | matrix product alone | '
        'times faster |', '| --- | --- | --- | --- | --- | --- |']
    for name, case in record['cases'].items():
        seconds = case['seconds']
        lines.append(
            f'| {name}, {case["slots"]:,} slots | {case["batch"]} '
            f'| {ms(seconds["ours"])} | {ms(seconds["published"])} '
            f'| {ms(seconds["product"])} '
            f'| {case["times_faster"]["median"]:.1f} |')
    return [*lines, '']


def render(readme: str, folder: Path) -> str:
    """The README with its results made anew."""
    lines = [*accuracy_table(folder), *loss_table(folder)]
    body = '\n' + '\n'.join(lines) + '\n' if lines else ''
    return BLOCK.sub(lambda block: block[1] + body + block[2], readme)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0],
        epilog='example: python tools/analysis/results_table.py --check')
    parser.add_argument('--check', action='store_true',
                        help='only say whether README.md is up to date')
    args = parser.parse_args()
    readme = ROOT / 'README.md'
    text = readme.read_text()
    fresh = render(text, ROOT / 'runs')
    if not args.check:
        readme.write_text(fresh)
    elif fresh != text:
        sys.exit('error: the results in README.md are stale; run python '
                 'tools/analysis/results_table.py')


if __name__ == '__main__':
    main()
