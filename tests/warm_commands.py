"""Run commands without importing PyTorch each time, which takes seconds.

A server imports the package once and forks a process for each command. In the
child, a tool runs as in ``python tool.py ...``: as ``__main__``, with its own
arguments, working directory, output and exit status.
"""
import atexit
import contextlib
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT = 120  # seconds until a command is killed


class WarmCommands:
    """Context manager that runs commands on a server.

    ``warm('tools/train.py', 'config.py', cwd=folder)`` returns a
    ``CompletedProcess``. While the command runs, its output is written to the
    files ``stdout`` and ``stderr`` in ``folder``.
    """

    def __enter__(self) -> 'WarmCommands':
        self.server = subprocess.Popen(
            [sys.executable, '-W', 'ignore', __file__], cwd=ROOT, text=True,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *error) -> None:
        self.server.stdin.close()
        self.server.wait(TIMEOUT)
        self.server.stdout.close()

    def __call__(self, tool: str, *args, cwd: Path):
        self.start(tool, *args, cwd=cwd)
        return self.wait()

    def start(self, tool: str, *args, cwd: Path) -> int:
        """Start a tool as leader of a process group, and return its ID."""
        self.argv, self.cwd = [str(ROOT / tool), *map(str, args)], Path(cwd)
        for name in ('stdout', 'stderr'):
            (self.cwd / name).write_text('')
        self.server.stdin.write(json.dumps([self.argv, str(cwd)]) + '\n')
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def wait(self):
        status = int(self.server.stdout.readline())
        return subprocess.CompletedProcess(
            self.argv, status, *((self.cwd / name).read_text()
                                 for name in ('stdout', 'stderr')))


def serve() -> None:
    """Fork a child process for each command on stdin."""
    import projects.stdcl.apis  # noqa: F401, I001  repairs the stack
    import matplotlib.backends.backend_agg  # noqa: F401
    import mmaction.evaluation  # noqa: F401
    import mmaction.visualization  # noqa: F401
    import torch._dynamo  # noqa: F401
    from mmengine.config import Config

    from projects.stdcl.catalogue import find_config

    config = Config.fromfile(find_config('stgcn', 'synthetic', stdcl=False))
    config.pretty_text  # noqa: B018  loads a slow formatter
    gc.freeze()  # keeps garbage collection in children fast
    reply = os.fdopen(os.dup(1), 'w')
    for line in sys.stdin:
        argv, cwd = json.loads(line)
        child = os.fork()
        if not child:
            become(argv, cwd)
        print(child, file=reply, flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(ProcessLookupError):  # kill leftovers
            os.killpg(child, signal.SIGKILL)
        print(status, file=reply, flush=True)


def become(argv: list, cwd: str) -> None:
    """Turn this process into one that a shell would have started."""
    os.setsid()
    signal.alarm(TIMEOUT)
    os.chdir(cwd)
    for descriptor, name in enumerate(('stdout', 'stderr'), start=1):
        with open(name, 'wb') as file:
            os.dup2(file.fileno(), descriptor)
    sys.argv = argv
    sys.path[0] = os.path.dirname(argv[0])
    status = 0
    try:
        runpy.run_path(argv[0], run_name='__main__')
    except SystemExit as stop:
        status = stop.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    # exit like the interpreter, but skip the slow cleanup of modules
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == '__main__':
    serve()
