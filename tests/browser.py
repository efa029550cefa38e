"""A real browser for tests: headless Chromium, controlled through a pipe."""
import base64
import io
import json
import os
import select
import shutil
import subprocess
import time

import pytest
from PIL import Image

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
EXECUTABLE = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    not EXECUTABLE, reason=f'no browser ({", ".join(NAMES)})')
FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic',
         '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync',
         '--remote-debugging-pipe', '--window-size=1240,900']
TIMEOUT = 60  # seconds


class Browser:
    """A browser that shows a page; a context manager.

    It speaks the DevTools protocol, messages that end in a zero byte, over
    the file descriptors 3 and 4.
    """

    def __init__(self, path, folder):
        self.number, self.session, self.errors = 0, None, []
        get, put = os.pipe(), os.pipe()  # what it reads, what it writes
        self.process = subprocess.Popen(
            ['bash', '-c', f'exec "$@" 3<&{get[0]} 4>&{put[1]}', '-',
             EXECUTABLE, *FLAGS, f'--user-data-dir={folder}'],
            pass_fds=(get[0], put[1]), stderr=subprocess.DEVNULL)
        os.close(get[0])
        os.close(put[1])
        self.input, self.output = os.fdopen(get[1], 'wb'), os.fdopen(
            put[0], 'rb', buffering=0)
        try:
            target = self.send('Target.createTarget', url='about:blank')
            self.session = self.send('Target.attachToTarget', flatten=True,
                                     **target)['sessionId']
            for domain in ('Page', 'Runtime', 'Log', 'Network'):
                self.send(f'{domain}.enable')
            self.send('Page.navigate', url=f'file://{path}')
            self.wait('document.readyState === "complete"')
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> 'Browser':
        return self

    def __exit__(self, *error) -> None:
        self.process.kill()
        self.process.wait()
        self.input.close()
        self.output.close()

    def send(self, method, **params) -> dict:
        """Send a command; returns the reply."""
        self.number += 1
        message = dict(id=self.number, method=method, params=params)
        if self.session:
            message['sessionId'] = self.session
        self.input.write(json.dumps(message).encode() + b'\0')
        self.input.flush()
        while True:
            reply = json.loads(self._read())
            if reply.get('method') in ('Runtime.exceptionThrown',
                                       'Log.entryAdded'):
                self.errors.append(reply['params'])
            if reply.get('id') == self.number:
                assert 'error' not in reply, reply
                return reply['result']

    def _read(self) -> bytes:
        text = b''
        while not text.endswith(b'\0'):
            ready, _, _ = select.select([self.output], [], [], TIMEOUT)
            assert ready, 'the browser does not answer'
            byte = self.output.read(1)
            assert byte, f'the browser ended: {self.process.poll()}'
            text += byte
        return text[:-1]

    def run(self, code):
        """Value of a JavaScript expression."""
        result = self.send('Runtime.evaluate', expression=code,
                           returnByValue=True)
        assert 'exceptionDetails' not in result, result
        return result['result'].get('value')

    def wait(self, condition) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + TIMEOUT
        while not self.run(condition):
            assert time.monotonic() < deadline, condition

    def place(self, selector, across=0.5, down=0.5) -> tuple:
        """Pixel of a point of an element, which is scrolled into view."""
        x, y, width, height = self.run(
            '(() => { const node = document.querySelector('
            f'{json.dumps(selector)}); node.scrollIntoView({{block: "center"}}'
            '); const box = node.getBoundingClientRect();'
            'return [box.x, box.y, box.width, box.height]; })()')
        return x + across * width, y + down * height

    def click(self, selector, across=0.5, down=0.5) -> None:
        """Click on an element."""
        self.drag(*[self.place(selector, across, down)] * 2)

    def drag(self, start, end) -> None:
        """Press the left button at one place, release it at another."""
        for kind, (x, y) in (('Pressed', start), ('Moved', end),
                             ('Released', end)):
            if kind != 'Moved' or end != start:
                self.send('Input.dispatchMouseEvent', type=f'mouse{kind}',
                          x=x, y=y, button='left', clickCount=1)

    def screenshot(self) -> Image.Image:
        """What is visible."""
        data = self.send('Page.captureScreenshot')['data']
        return Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB')
