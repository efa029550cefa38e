"""Make the tables of README.md and of pages in docs/ from recorded runs.

A recorded run is the ``run.json`` that training leaves in its work directory,
copied to runs/. Benchmarks' records are runs/benchmark_*.json, ensembles' are
runs/ensemble_*.json.

Examples:
    python tools/analysis/results_table.py           rewrite them
    python tools/analysis/results_table.py --check   fail if one is stale
"""
import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def accuracy_table(folder: Path) -> list:
    """A row for each recorded training: last-epoch top-1, loss."""
    rows = []
    for path in sorted(folder.glob('*.json')):
        if path.name.startswith(('benchmark_', 'ensemble_')):
            continue
        run = json.loads(path.read_text())
        last = run['epochs'][-1]
        if not run['clean'] or 'val' not in last:
            raise SystemExit(
                f'error: {path}: clean is {run["clean"]} and the last epoch '
                f'has {sorted(last)}; a recorded run is made on a clean tree '
                'and validated after its last epoch.')
        hours = sum(epoch['seconds'] for epoch in run['epochs']) / 3600
        machine = run['machine']
        where = machine.get('gpu', f'CPU threads: {machine["threads"]}')
        rows.append(
            f'| [{path.stem}](runs/{path.name}) | {last["epoch"]} '
            f'| {run["seed"]} | {100 * last["val"]["acc/top1"]:.2f} '
            f'| {run["epochs"][0]["train"]["loss"]:.2f}, '
            f'{last["train"]["loss"]:.2f} | {hours:.1f} h, {where} '
            f'| {run["commit"][:7]} |')
    if not rows:
        return []
    return ['| run | epochs | seed | top-1, last epoch | training loss, first '
            'and last epoch | training | commit |',
            '| --- ' * 7 + '|', *rows, '']


def ensemble_table(folder: Path) -> list:
    """A row for each recorded ensemble, as tools/ensemble.py --out has it."""
    rows = []
    for path in sorted(folder.glob('ensemble_*.json')):
        record = json.loads(path.read_text())
        if not record['clean']:
            raise SystemExit(f'error: {path}: clean is false; a recorded run '
                             'is made on a clean tree.')
        files, fused = record['files'], record['fused']
        rows.append(
            f'| [{path.stem}](runs/{path.name}) | '
            + ', '.join(f'{100 * item["top1"]:.2f}' for item in files) + ' | '
            + ':'.join(f'{item["weight"]:g}' for item in files)
            + f' | {record["scores"]} | **{100 * fused["top1"]:.2f}** '
            f'| {100 * fused["top5"]:.2f} '
            f'| {100 * fused["mean_class_accuracy"]:.2f} '
            f'| {record["commit"][:7]} |')
    if not rows:
        return []
    return ['| ensemble | top-1 of joint, bone, joint motion, bone motion '
            '| weights | summed | top-1 | top-5 | mean class | commit |',
            '| --- ' * 8 + '|', *rows, '']


def results_tables(folder: Path) -> list:
    """All trainings and ensembles."""
    return [*accuracy_table(folder), *ensemble_table(folder)]


def loss_table(folder: Path) -> list:
    """The benchmark of the contrastive loss."""
    path = folder / 'benchmark_contrastive_loss.json'
    if not path.is_file():
        return []
    record = json.loads(path.read_text())
    where = record.get('gpu', f'CPU threads: {record["threads"]}')

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
            f'| {_ms(seconds["ours"])} | {_ms(seconds["published"])} '
            f'| {_ms(seconds["product"])} '
            f'| {case["times_faster"]["median"]:.1f} |')
    return [*lines, '']


def encoder_table(folder: Path) -> list:
    """The benchmarks of the encoders, one for each device."""
    lines = []
    for path in sorted(folder.glob('benchmark_encoders*.json')):
        record = json.loads(path.read_text())
        where = record.get('gpu', f'CPU threads: {record["threads"]}')
        lines += [
            'Encoders and classifiers against the obvious twins of the tests, '
            'milliseconds of a step as median (minimum to maximum) of '
            f'{record["repeats"]} repeats, {where}, torch {record["torch"]} '
            f'([record](runs/{path.name}), `python '
            'tools/benchmark/encoders.py`); memory is what a training step '
            'adds at most:', '',
            '| encoder | clips (N, M, T, V, C) | parameters | GFLOPs a clip '
            '| step | ours | twin | times faster | memory | memory of twin | '
            'compiled |', '| --- ' * 11 + '|']
        for name, case in record['cases'].items():
            lines += [_encoder_row(name, case, mode)
                      for mode in ('training', 'eval')]
        lines.append('')
        for name, case in record['cases'].items():
            seconds = case['training']['seconds']
            for yardstick, authors in case.get('authors_seconds', {}).items():
                lines.append(
                    f"- {name}: on the scale of MMAction2's {yardstick}, "
                    "timed here and beside the authors' code elsewhere, a "
                    "training step of the authors' code would take "
                    f'{1e3 * authors:.0f} ms: the twin is '
                    f'{authors / seconds["twin"]["median"]:.2f} times as fast,'
                    f' ours {authors / seconds["ours"]["median"]:.2f} times.')
        lines.append('')
    return lines


def _encoder_row(name: str, case: dict, mode: str) -> str:
    seconds, training = case[mode]['seconds'], mode == 'training'
    compiled = _ms(seconds['compiled']) if 'compiled' in seconds else '-'
    memory = [f'{case["peak_memory"][which] / 2**20:.0f} MiB'
              if training and case['peak_memory'][which] else '-'
              for which in ('ours', 'twin')]
    faster = case[mode]['times_faster']
    return (f'| {name} | {tuple(case["clips"])} | {case["parameters"]:,} '
            f'| {case["flops"] / 1e9:.2f} | {mode} | {_ms(seconds["ours"])} '
            f'| {_ms(seconds["twin"])} | {faster["median"]:.2f} '
            f'({faster["min"]:.2f} to {faster["max"]:.2f}) | {memory[0]} '
            f'| {memory[1]} | {compiled} |')


ENCODERS = {'stgcn': 'ST-GCN', '2s-agcn': '2S-AGCN', 'ctrgcn': 'CTR-GCN',
            'hyperformer': 'Hyperformer', 'hcn': 'HCN'}


def inference_cost_table(folder: Path) -> list:
    """What STD-CL costs at test time."""
    path = folder / 'benchmark_inference_cost.json'
    if not path.is_file():
        return []
    record = json.loads(path.read_text())
    lines = [
        'At test time, plain against STD-CL with the same weights, which give '
        'the same scores: parameters and FLOPs of what predicts (decoupler '
        'and banks of a model that is not stripped lie idle), and one clip of '
        'NW-UCLA, milliseconds as median '
        f'(minimum to maximum) of {record["repeats"]} repeats in turn, CPU '
        f'threads: {record["threads"]}, torch {record["torch"]} '
        f'([record](runs/{path.name}), `python '
        'tools/benchmark/inference_cost.py`):', '',
        '| encoder | parameters, plain | STD-CL | MFLOPs, plain | STD-CL | '
        'ms, plain | STD-CL | STD-CL : plain |', '| --- ' * 8 + '|']
    for name, case in record['cases'].items():
        plain, stdcl = case['plain'], case['stdcl']
        lines.append(
            f'| {ENCODERS[name]} '
            + ' '.join(f'| {one["parameters"]:,}' for one in (plain, stdcl))
            + ' ' + ' '.join(f'| {one["flops"] / 1e6:,.1f}'
                             for one in (plain, stdcl)) + ' '
            + ' '.join(f'| {_ms(one["seconds"])}' for one in (plain, stdcl))
            + f' | {_range(case["ratio"], 2)} |')
    return [*lines, '']


def onnx_table(folder: Path) -> list:
    """Exported encoders beside PyTorch's."""
    rows = []
    for encoder, name in ENCODERS.items():
        path = folder / f'benchmark_onnx_{encoder}.json'
        if not path.is_file():
            continue
        record = json.loads(path.read_text())
        top1, seconds = record['top1'], record['seconds']
        rows.append(
            f'| {name} ([record](runs/{path.name})) '
            f'| {record["bytes"] / 1e6:.1f} MB | {top1["pytorch"]:.2f} '
            f'| {top1["onnxruntime"]:.2f} | {record["difference"]:.0e} '
            f'| {_ms(seconds["pytorch"])} | {_ms(seconds["onnxruntime"])} |')
    if not rows:
        return []
    versions = record['versions']
    return [
        'ONNX: encoders of a quarter of the width, trained as in '
        '[docs/findings.md](docs/findings.md), on the test view of NW-UCLA; '
        'difference of the logits as a part of the largest; milliseconds of a '
        f'clip as median (minimum to maximum) of {record["repeats"]} repeats '
        f'in turn, CPU threads: {record["machine"]["threads"]}, torch '
        f'{versions["torch"]}, onnxruntime {versions["onnxruntime"]} '
        '(`python tools/deployment/test_onnx.py CONFIG CHECKPOINT ONNX`):', '',
        '| encoder | file | top-1, PyTorch | ONNX | difference | ms, PyTorch '
        '| ONNX |', '| --- ' * 7 + '|', *rows, '']


def pipeline_table(folder: Path) -> list:
    """The benchmark of the data pipeline."""
    path = folder / 'benchmark_pipeline.json'
    if not path.is_file():
        return []
    record = json.loads(path.read_text())
    rates, faster = record['sequences_per_second'], record['times_faster']
    stock, ours = record['seconds']['stock'], record['seconds']['ours']
    lines = [
        f'Data pipeline, {record["sequences"]} made sequences with the '
        'lengths of NTU, bone stream, 100 frames, in one process, median '
        f'(minimum to maximum) of {record["repeats"]} repeats '
        f'([record](runs/{path.name}), `python tools/benchmark/pipeline.py`):'
        f' **{_range(rates["ours"], 0)} sequences a second against '
        f'{_range(rates["stock"], 0)}** of MMAction2, {_range(faster, 1)} '
        'times; the clips differ by at most '
        f'{record["difference"]:.0g}. The recipe of the published results, '
        f'64 frames: {_range(rates["published"], 0)}.', '',
        '| transform | microseconds of MMAction2 | ours | |',
        '| --- | --- | --- | --- |']
    for name, taken in stock.items():
        fast = f'Fast{name}'
        once = name in ('PreNormalize3D', 'GenSkeFeat')
        lines.append(
            f'| {name} | {_range(taken, 0, 1e6)} '
            f'| {_range(ours[fast if fast in ours else name], 0, 1e6)} '
            f'| {"once, not in every epoch" if once else ""} |')
    memory = record.get('memory')
    if memory:
        stock, ours = memory['PoseDataset'], memory['SkeletonDataset']
        lines += ['', f'Memory of a training set of {memory["sequences"]:,} '
                  f'sequences and {memory["workers"]} loader workers, per '
                  f'byte of its coordinates: {ours["total"]:.2f} bytes '
                  f'against {stock["total"]:.2f} of MMAction2; at most, '
                  'while the file is read, which has the test set as well '
                  f'(80 % as many), {ours["peak"]:.2f} against '
                  f'{stock["peak"]:.2f}.']
    return [*lines, '']


NTU = {'NTU RGB+D 60': 56880, 'NTU RGB+D 120': 114480}  # files


def data_table(folder: Path) -> list:
    """What the converters need."""
    paths = (folder / 'benchmark_nw_ucla.json',
             folder / 'benchmark_ntu_rgbd.json')
    if not all(path.is_file() for path in paths):
        return []
    nw_ucla, ntu = (json.loads(path.read_text()) for path in paths)
    zipped = ntu['commands']['zip, processes: 2']
    worker = zipped['peak_memory']['worker'] / 2**20
    lines = [
        '| data set | time | disk, the file itself | memory |',
        '| --- | --- | --- | --- |',
        f'| NW-UCLA, measured | {_range(nw_ucla["seconds"], 1)} s '
        f'| {nw_ucla["bytes_written"] / 1e6:.0f} MB '
        f'| {nw_ucla["peak_memory"] / 2**20:.0f} MiB |']
    for name, files in NTU.items():
        minutes = files / zipped['files_per_second']['median'] / 60
        size = files * zipped['bytes_written'] / ntu['files'] / 1e9
        lines.append(
            f'| {name}, projected | {minutes:.0f} min with 2 processes '
            f'| {size:.1f} GB, twice that until it is complete '
            f'| {zipped["peak_memory"]["main"] / 2**20:.0f} MiB or more, and '
            f'{worker:.0f} MiB for each process |')
    readers = ntu['readers']
    lines += ['', *_training_memory(folder, zipped, ntu['files'])]
    return [
        *lines, '', 'NW-UCLA: median (minimum to maximum) of '
        f'{nw_ucla["repeats"]} runs ([record](../runs/{paths[0].name})). NTU: '
        f'projected from {ntu["files"]:,} made files of '
        f'{ntu["mean_bytes"] / 1e3:.0f} kB on average, zipped, '
        f'{ntu["repeats"]} runs ([record](../runs/{paths[1].name}), `python '
        'tools/benchmark/ntu_rgbd.py`); one process reads '
        f'{_range(readers["ours"], 0)} files a second, the obvious line by '
        f'line parser {_range(readers["twin"], 0)}: '
        f'{_range(readers["times_faster"], 1)} times. '
        f'Machine: {ntu["cores"]} cores.', '']


def _training_memory(folder: Path, zipped: dict, files: int) -> list:
    """What training on NTU RGB+D 120 X-Sub needs, from the records."""
    path = folder / 'benchmark_pipeline.json'
    if not path.is_file():
        return []
    ours = json.loads(path.read_text())['memory']['SkeletonDataset']
    split = 63026 * zipped['bytes_written'] / files / 1e9
    return [
        f'Training on NTU RGB+D 120 X-Sub then holds {ours["total"]:.2f} '
        f'times the {split:.1f} GB of its training set in memory, and at the '
        f'start, while the file is read, {ours["peak"]:.2f} times that '
        f'([record](../runs/{path.name})), in each process of a distributed '
        'training, whatever the number of its loader workers.']


def _bank_record(folder: Path) -> dict:
    path = folder / 'benchmark_memory_bank.json'
    return json.loads(path.read_text()) if path.is_file() else {}


def step_cost_table(folder: Path) -> list:
    """What a step costs against bank, batch and number of processes."""
    record = _bank_record(folder)
    if not record:
        return []
    cases = {(case['processes'], case['bank'], case['sequences'],
              case['batch']): case for case in record['cases']}
    batches = sorted({batch for *_, batch in cases})
    many = max(processes for processes, *_ in cases)
    lines = ['| bank | sequences | slots | '
             + ' | '.join(f'batch {batch}, ms' for batch in batches)
             + ' | one bank, MiB | a step beside the banks, MiB |',
             '| --- ' * (5 + len(batches)) + '|']
    for (processes, bank, sequences, batch), case in cases.items():
        if processes > 1 or batch != batches[-1]:
            continue
        taken = [_ms(cases[1, bank, sequences, batch]['seconds'])
                 for batch in batches]
        lines.append(
            f'| {bank} | {sequences:,} | {case["slots"]:,} | '
            f'{" | ".join(taken)} | {_mib(case["bank_bytes"])} '
            f'| {_mib(case["step_memory"])} |')
    counts = sorted({processes for processes, *_ in cases})
    lines += ['', '| bank | sequences | batch of a process | '
              + ' | '.join(f'{count} process{"es" * (count > 1)}, ms'
                           for count in counts)
              + ' | a process sends, bytes |',
              '| --- ' * (4 + len(counts)) + '|']
    for processes, bank, sequences, batch in cases:
        if processes == many:
            taken = [_ms(cases[count, bank, sequences, batch]['seconds'])
                     for count in counts]
            lines.append(f'| {bank} | {sequences:,} | {batch} | '
                         f'{" | ".join(taken)} | '
                         f'{batch * (8 * record["features"] + 8):,} |')
    fit = record['fit']
    return [
        *lines, '', 'Median (minimum to maximum) of '
        f'{min(case["repeats"] for case in record["cases"])} repeats or more, '
        f'{record["features"]} features, {record["classes"]} classes, CPU '
        f'threads of a process: {record["threads"]}, all processes on one '
        f'machine of {record["cores"]} cores, torch {record["torch"]} '
        '([record](../runs/benchmark_memory_bank.json), `python '
        'tools/benchmark/memory_bank.py`).', '',
        '**Estimate.** With one process and the full bank a step takes about '
        f'{1e3 * fit["a"]:.0f} ms + N ({1e3 * fit["b"]:.2f} ms + S x '
        f'{1e9 * fit["c"]:.0f} ns) for a batch of N and S slots, both banks '
        f'together: within a factor of {fit["worst"]:.1f} of the fastest '
        'repeats above, on one such core. It grows with the product of batch '
        'and slots; the step of a class-balanced bank is that of as many '
        'slots.', '']


def half_precision_table(folder: Path) -> list:
    """What float16 banks change."""
    record = _bank_record(folder)
    if not record:
        return []
    return [
        '| features | slots | loss differs by | gradient differs by |',
        '| --- | --- | --- | --- |',
        *(f'| {name} | {half["slots"]:,} | {half["loss"]:.0e} '
          f'| {half["gradient"]:.0e} |'
          for name, half in record['half_precision'].items()), '']


def bank_size_table(folder: Path) -> list:
    """Bytes of both banks in a checkpoint, for each data set."""
    record = _bank_record(folder)
    if not record:
        return []
    sizes = record['dataset_bytes']
    kinds = [kind for kind in next(iter(sizes.values()))
             if kind not in ('sequences', 'classes')]
    return [
        f'| training set | sequences | classes | {" | ".join(kinds)} |',
        '| --- ' * (3 + len(kinds)) + '|',
        *(f'| {name} | {size["sequences"]:,} | {size["classes"]} | '
          + ' | '.join(f'{size[kind] / 1e6:.1f} MB' for kind in kinds) + ' |'
          for name, size in sizes.items()), '']


def _mib(size: int) -> str:
    return f'{size / 2**20:,.1f}'


def _range(taken: dict, digits: int, scale: float = 1) -> str:
    return (f'{scale * taken["median"]:,.{digits}f} '
            f'({scale * taken["min"]:,.{digits}f} to '
            f'{scale * taken["max"]:,.{digits}f})')


def _ms(taken: dict) -> str:
    return _range(taken, 1, 1e3)


def performance_table(folder: Path) -> list:
    """All benchmarks."""
    return [*inference_cost_table(folder), *onnx_table(folder),
            *pipeline_table(folder), *encoder_table(folder),
            *loss_table(folder)]


TABLES = {'results': results_tables, 'performance': performance_table,
          'data': data_table, 'step cost': step_cost_table,
          'half precision': half_precision_table,
          'bank sizes': bank_size_table}
PAGES = (ROOT / 'README.md', ROOT / 'docs' / 'data.md',
         ROOT / 'docs' / 'scaling.md')


def render(page: str, folder: Path) -> str:
    """A page with its tables made anew."""
    return fill(page, {name: table(folder)
                       for name, table in TABLES.items()})


def fill(page: str, tables: dict) -> str:
    """A page with what stands between its marks replaced.

    Args:
        page (str): The page's text, with lines ``<!-- NAME: ... -->`` and
            ``<!-- end of NAME -->``.
        tables (dict[str, list[str]]): Name -> lines; those that the page does
            not have are passed over.
    """
    for name, lines in tables.items():
        body = '\n'.join(lines)
        block = re.compile(rf'(<!-- {name}: .*? -->\n).*?(<!-- end of {name} '
                           '-->)', re.DOTALL)
        page = block.sub(lambda found, body=body: (
            f'{found[1]}\n{body}\n{found[2]}' if body
            else found[1] + found[2]), page)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0],
        epilog='example: python tools/analysis/results_table.py --check')
    parser.add_argument('--check', action='store_true',
                        help='only say whether they are up to date')
    args = parser.parse_args()
    for page in PAGES:
        text = page.read_text()
        fresh = render(text, ROOT / 'runs')
        if not args.check:
            page.write_text(fresh)
        elif fresh != text:
            sys.exit(f'error: the tables in {page.relative_to(ROOT)} are '
                     'stale; run python tools/analysis/results_table.py')


if __name__ == '__main__':
    main()
