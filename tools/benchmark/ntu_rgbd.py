"""Time the NTU RGB+D converter on synthetic files in a zip.

The whole command, with its memory. The files have 85 frames on average.

example: python -m tools.benchmark.ntu_rgbd --files 2000
"""
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from tools.benchmark import timing

ROOT = Path(__file__).resolve().parents[2]
# runs the tool, then prints the peak memory in KiB of it and of its workers
MEASURED = '''
import resource, runpy
runpy.run_path('tools/data/ntu_rgbd.py', run_name='__main__')
print(*(resource.getrusage(who).ru_maxrss for who in (
    resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
'''


def write_zip(path: Path, num_files: int) -> None:
    """Write files with names of NTU60, 85 frames on average."""
    import numpy as np

    from tests.ntu_files import make_frames, write_skeleton
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for number in range(num_files):
            number, action = divmod(number, 60)
            number, replication = divmod(number, 2)
            performer, camera = divmod(number, 3)
            num_frames = int(np.clip(rng.lognormal(4.35, 0.42), 20, 300))
            archive.writestr(
                f'S001C{camera + 1:03d}P{performer + 1:03d}'
                f'R{replication + 1:03d}A{action + 1:03d}.skeleton',
                write_skeleton(make_frames(rng, num_frames,
                                           1 + (rng.random() < 0.2))))


def run(path: Path, destination: Path, processes: int, repeats: int) -> dict:
    """Run the command; seconds are those of the CPU, which others share."""
    command, outputs, times = [sys.executable, '-c', MEASURED, path,
                               destination, '--processes', str(processes)
                               ], [], [cpu_seconds()]
    for _ in range(repeats):
        outputs.append(subprocess.run(
            command, check=True, cwd=ROOT, capture_output=True, text=True
            ).stdout)
        times.append(cpu_seconds())
    main, worker = (int(kib) / 1024 for kib in outputs[-1].split()[-2:])
    return {'processes': processes, 'CPU seconds': timing.spread(
                [end - start for start, end in zip(times, times[1:])]),
            'file, MB': round(destination.stat().st_size / 1e6),
            'MiB': round(main), 'MiB of a process': round(worker)}


def cpu_seconds() -> float:
    """CPU seconds of all child processes."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = timing.make_parser(__doc__, 3)
    parser.add_argument('--files', type=int, default=2000,
                        help='default: 2000')
    parser.add_argument('--processes', type=int, default=2, help='default: 2')
    args = timing.parse_args(parser)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'skeletons.zip')
        write_zip(path, args.files)
        rows = [{'data': f'{args.files:,} synthetic NTU files, zip',
                 'files': args.files, **run(path, path.with_suffix('.pkl'),
                                            args.processes, args.repeats)}]
    timing.save(args.out / 'conversion.csv', rows, ['data', 'processes'])


if __name__ == '__main__':
    main()
