"""A real browser for tests: headless Chromium, told what to do by a pipe."""
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


class Browser:
    """A page of its own; a context manager, for the browser ends with it.

    It speaks the DevTools protocol, messages that end in a zero byte, over
    the file descriptors 3 and 4.
    """

    def __init__(self, path, folder, size=(1240, 900)):
        self.path, self.folder, self.size = path, folder, size
        self.number = 0

    def __enter__(self) -> 'Browser':
        get, put = os.pipe(), os.pipe()  # what it reads, what it writes
        self.process = subprocess.Popen(
            ['bash', '-c', f'exec "$@" 3<&{get[0]} 4>&{put[1]}', '-',
             EXECUTABLE, '--headless=new', '--no-sandbox', '--disable-gpu',
             '--remote-debugging-pipe', f'--user-data-dir={self.folder}',
             f'--window-size={self.size[0]},{self.size[1]}'],
            pass_fds=(get[0], put[1]), stderr=subprocess.DEVNULL)
        os.close(get[0])
        os.close(put[1])
        self.input, self.output = os.fdopen(get[1], 'wb'), os.fdopen(
            put[0], 'rb', buffering=0)
        self.session, self.errors = None, []
        try:
            self.open_page()
        except BaseException:
            self.__exit__()
            raise
        return self

    def open_page(self) -> None:
        """Open the page in a tab, and wait until it is there."""
        target = self.send('Target.createTarget', url='about:blank')
        self.session = self.send('Target.attachToTarget', flatten=True,
                                 **target)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.send(f'{domain}.enable')
        self.send('Page.navigate', url=f'file://{self.path}')
        self.wait('document.readyState === "complete"')

    def __exit__(self, *error) -> None:
        self.process.kill()
        self.process.wait()
        self.input.close()
        self.output.close()

    def send(self, method, **params) -> dict:
        """Ask for something; returns the reply."""
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
            ready, _, _ = select.select([self.output], [], [], 30)
            assert ready, 'the browser does not answer'
            byte = self.output.read(1)
            assert byte, f'the browser ended: {self.process.poll()}'
            text += byte
        return text[:-1]

    def run(self, code):
        """Value of an expression of JavaScript."""
        result = self.send('Runtime.evaluate', expression=code,
                           returnByValue=True)
        assert 'exceptionDetails' not in result, result
        return result['result'].get('value')

    def wait(self, condition) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + 30
        while not self.run(condition):
            assert time.monotonic() < deadline, condition

    def place(self, selector, across=0.5, down=0.5) -> tuple:
        """A point of an element that is brought into view, in pixels."""
        box = self.run(
            '(() => { const node = document.querySelector('
            f'{json.dumps(selector)}); node.scrollIntoView({{block: "center"}}'
            '); const box = node.getBoundingClientRect();'
            'return [box.x, box.y, box.width, box.height]; })()')
        return box[0] + across * box[2], box[1] + down * box[3]

    def mouse(self, kind, place) -> None:
        """Move, press or release the left button."""
        self.send('Input.dispatchMouseEvent', type=f'mouse{kind}',
                  x=place[0], y=place[1], button='left', clickCount=1)

    def click(self, selector, across=0.5, down=0.5) -> None:
        """Click on an element."""
        self.drag(*[self.place(selector, across, down)] * 2)

    def drag(self, start, end) -> None:
        """Press at one place, release at another."""
        self.mouse('Pressed', start)
        if end != start:
            self.mouse('Moved', end)
        self.mouse('Released', end)

    def screenshot(self) -> Image.Image:
        """What is seen."""
        data = self.send('Page.captureScreenshot')['data']
        return Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB')
