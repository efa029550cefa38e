"""Run commands without importing PyTorch each time, which takes seconds.

A server is forked from pytest before the first test, and forks a process for
each command. In the child, a tool runs as in ``python tool.py ...``: as
``__main__``, with its own arguments, working directory, environment, output
and exit status.
"""
import atexit
import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

from mmengine.config import Config
from mmengine.config import config as mmengine_config
from mmengine.logging import MMLogger
from mmengine.utils.dl_utils import collect_env

from projects.stdcl.catalogue import ROOT, find_config

TIMEOUT = 120  # seconds until a command is killed


class WarmCommands:
    """Runner of commands in processes that have imported the package.

    ``warm('tools/train.py', 'config.py', cwd=folder)`` returns a
    ``CompletedProcess``. It raises an error unless the tool ends with the
    expected ``status`` and without a traceback. While the tool runs, its
    output is written to the files ``stdout`` and ``stderr`` in ``folder``.
    The server ends with the process that creates this object.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        if not os.fork():
            ours.close()
            try:
                serve(theirs.makefile('rw'))
            finally:
                os._exit(0)
        theirs.close()
        self.server, self.argv = ours.makefile('rw'), None

    def __call__(self, tool: str, *args, cwd: Path, status: int = 0):
        """Run a tool, and check its exit status and its error message."""
        self.start(tool, *args, cwd=cwd)
        done = self.wait()
        text = done.stdout[-3000:] + done.stderr[-3000:]
        assert done.returncode == status, text
        assert status == 0 or 'Traceback' not in done.stderr, text
        return done

    def start(self, tool: str, *args, cwd: Path) -> int:
        """Start a tool as leader of a process group, and return its ID."""
        if self.argv:  # a test that failed has not waited
            self.wait()
        self.argv, self.cwd = [str(ROOT / tool), *map(str, args)], Path(cwd)
        for name in ('stdout', 'stderr'):
            (self.cwd / name).write_text('')
        print(json.dumps([self.argv, str(cwd), dict(os.environ)]),
              file=self.server, flush=True)
        return int(self.server.readline())

    def wait(self):
        status = int(self.server.readline())
        argv, self.argv = self.argv, None
        return subprocess.CompletedProcess(
            argv, status, *((self.cwd / name).read_text()
                                 for name in ('stdout', 'stderr')))


def skip_formatting() -> None:
    """Let a Runner log and save its config without slow line breaking."""
    mmengine_config.FormatCode = lambda text, style_config: (text, True)


def serve(pipe) -> None:
    """Fork a child process for each command that the pipe contains."""
    import matplotlib.backends.backend_agg  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import mmaction.evaluation  # noqa: F401
    import torch._dynamo  # noqa: F401

    import projects.stdcl.apis  # noqa: F401
    warnings.simplefilter('ignore')
    MMLogger._instance_dict.clear()  # they write to the output of pytest
    Config.fromfile(find_config('stgcn', 'synthetic', stdcl=False))
    collect_env()  # like the config, it imports slow modules
    for line in pipe:
        request = json.loads(line)
        child = os.fork()
        if not child:
            become(*request)
        print(child, file=pipe, flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(ProcessLookupError):  # kill leftovers
            os.killpg(child, signal.SIGKILL)
        print(status, file=pipe, flush=True)


def become(argv: list, cwd: str, environ: dict) -> None:
    """Turn this process into one that a shell would have started."""
    os.setsid()
    signal.alarm(TIMEOUT)
    os.chdir(cwd)
    os.environ.update(environ)
    for descriptor, name in enumerate(('stdout', 'stderr'), start=1):
        with open(name, 'wb') as file:
            os.dup2(file.fileno(), descriptor)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # no longer pytest
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
