"""Time the NTU RGB+D converter, on files made for it.

The reader of a file against the obvious one (tests/twins/ntu_skeleton.py),
which goes from line to line as people write it, and takes x, y and z alone;
and the whole command, from a folder and from a zip, with its memory.

Example:
    python tools/benchmark/ntu_rgbd.py --out ntu_rgbd.json
"""
import argparse
import json
import os
import os.path as osp
import platform
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from timing import spread, timed

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
DATA = osp.join(ROOT, 'tools', 'data')
sys.path[:0] = [ROOT, DATA]

import ntu_rgbd

from tests.twins import ntu_skeleton as twin

# runs the converter, then tells the highest memory of the main process and of
# a worker, bytes; at the start of a process what its parent held counts for
# ru_maxrss, hence VmHWM where that is much
MEASURED = '''
import resource, sys
sys.path.insert(0, sys.argv.pop(1))
import ntu_rgbd
ntu_rgbd.main()
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(1024 * int(status['VmHWM'].split()[0]),
      1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
'''


def make_file(rng: np.random.Generator) -> bytes:
    """A file as they are: 85 frames on average, now and then odd."""
    num_frames = int(np.clip(rng.lognormal(4.35, 0.42), 20, 300))
    frames = twin.make_frames(rng, num_frames, 1 + (rng.random() < 0.2))
    if rng.random() < 0.05:  # something is taken for a person, for a while
        ghost = 72057594037999999, rng.normal(size=(25, 3)) + (0, 0, 3)
        for bodies in frames[3:10]:
            bodies.append(ghost)
    if rng.random() < 0.05:  # nobody is seen at first
        frames[:2] = [[], []]
    content = twin.write_skeleton(frames)
    odd = rng.random()
    if odd < 0.01:
        return content[:-1000]
    if odd < 0.02:
        place = content.index(b'\r\n25\r\n', len(content) // 2) + 6
        return content[:place] + b'nan' + content[
            content.index(b' ', place):]
    return content


def make_source(folder: Path, num_files: int) -> list:
    """Write the files, with names of NTU60; their paths."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(num_files):
        number, action = divmod(number, 60)
        number, replication = divmod(number, 2)
        performer, camera = divmod(number, 3)
        paths.append(folder / (
            f'S001C{camera + 1:03d}P{performer + 1:03d}R{replication + 1:03d}'
            f'A{action + 1:03d}.skeleton'))
        paths[-1].write_bytes(make_file(rng))
    return paths


def check(paths: list) -> None:
    """Both readers must read the same."""
    for path in paths:
        content = path.read_bytes()
        bodies, problems = ntu_rgbd.parse(content)
        people, reasons = twin.parse(content)
        same = len(bodies) == len(people) and reasons == {
            problem.reason for problem in problems} and all(
            body.frames.tolist() == list(seen)
            and np.array_equal(body.joints, list(seen.values()))
            for body, seen in zip(bodies, people.values()))
        if not same:
            raise SystemExit(f'error: {path.name}: the readers differ; a '
                             'benchmark of the two says nothing.')


def cpu_seconds() -> float:
    """Of the processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def time_readers(paths: list, repeats: int) -> dict:
    """Files a second of each, in one process, contents in memory.

    Seconds of the CPU, in which others that use the machine count less.
    """
    ntu_rgbd.keep_memory()  # as a worker does; it serves both
    readers = dict(ours=ntu_rgbd.parse, twin=twin.parse)
    seconds = {which: [0.0] * repeats for which in readers}
    for path in paths:
        content = path.read_bytes()
        for repeat in range(repeats):
            # in turn, so that a drifting machine hits both alike
            for which, reader in readers.items():
                start = time.process_time()
                reader(content)
                seconds[which][repeat] += time.process_time() - start
    result = {which: spread([len(paths) / total for total in taken])
              for which, taken in seconds.items()}
    result['times_faster'] = spread([b / a for a, b in zip(
        seconds['ours'], seconds['twin'])])
    return result


def time_command(source: Path, processes: int, num_files: int,
                 repeats: int) -> dict:
    """The whole command, start included."""
    seconds, cpu, memory = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        destination = osp.join(folder, 'ntu60.pkl')
        command = [sys.executable, '-c', MEASURED, DATA, str(source),
                   destination, '--processes', str(processes)]
        for _ in range(repeats):
            before = cpu_seconds()
            seconds.append(timed(lambda: memory.append(subprocess.run(
                command, check=True, capture_output=True, text=True
            ).stdout.split()[-2:]), 'cpu'))
            cpu.append(cpu_seconds() - before)
        written = os.stat(destination).st_size
    main, worker = (max(map(int, peaks)) for peaks in zip(*memory))
    return dict(seconds=spread(seconds), files_per_second=spread(
        [num_files / taken for taken in seconds]),
        cpu_seconds=spread(cpu), bytes_written=written,
        peak_memory=dict(main=main, worker=worker))


def show(record: dict) -> None:
    """Print the figures."""
    readers = record['readers']
    for which in ('ours', 'twin'):
        files = readers[which]
        print(f'reader, {which}: {files["median"]:.0f} files a second '
              f'({files["min"]:.0f} to {files["max"]:.0f})')
    faster = readers['times_faster']
    print(f'  {faster["median"]:.2f} times faster ({faster["min"]:.2f} to '
          f'{faster["max"]:.2f})')
    for name, case in record['commands'].items():
        files, seconds = case['files_per_second'], case['seconds']
        print(f'{name}: {seconds["median"]:.1f} s ({seconds["min"]:.1f} to '
              f'{seconds["max"]:.1f}), {files["median"]:.0f} files a second, '
              f'{case["cpu_seconds"]["median"]:.1f} s of the CPU; '
              + ', '.join(f'{which} {size / 2**20:.0f} MiB' for which, size in
                          case['peak_memory'].items()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0],
        epilog='example: python tools/benchmark/ntu_rgbd.py --out '
        'ntu_rgbd.json')
    parser.add_argument('--files', type=int, default=2000)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--out', type=Path, help='JSON file to write')
    args = parser.parse_args()
    record = dict(
        command=f'python tools/benchmark/ntu_rgbd.py --files {args.files} '
        f'--repeats {args.repeats}',
        processor=platform.machine(), cores=os.cpu_count(),
        load_before=os.getloadavg()[0], python=platform.python_version(),
        numpy=np.__version__, files=args.files, repeats=args.repeats,
        commands={})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, 'skeletons')
        folder.mkdir()
        paths = make_source(folder, args.files)
        record['mean_bytes'] = sum(
            path.stat().st_size for path in paths) / len(paths)
        archive = Path(temporary, 'skeletons.zip')
        with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED) as file:
            for path in paths:
                file.write(path, path.name)
        check(paths)
        record['readers'] = time_readers(paths, args.repeats)
        for source, processes in ((folder, 1), (folder, 2), (archive, 1),
                                  (archive, 2)):
            kind = 'zip' if source == archive else 'folder'
            record['commands'][f'{kind}, processes: {processes}'] = (
                time_command(source, processes, args.files, args.repeats))
    record['load_after'] = os.getloadavg()[0]
    show(record)
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    main()
