"""A headless Chromium browser that runs scripts in pages."""
import html
import json
import re
import shutil
import subprocess
import tempfile

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
EXECUTABLE = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    not EXECUTABLE, reason=f'no browser ({", ".join(NAMES)})')
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
         '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync',
         '--window-size=1240,900']
TEST = '''<pre id="test"></pre><script>
const errors = [];
window.onerror = message => { errors.push(message); };
const query = selector => document.querySelector(selector);
const count = selector => document.querySelectorAll(selector).length;
window.onload = () => {
  let value = null;
  try {
    value = (() => { %s })();
  } catch (error) {
    errors.push(String(error));
  }
  query('#test').textContent = JSON.stringify({value, errors});
};
</script>'''


def run_in_browser(path, script):
    """Run a script in a page, and return its result.

    The script is the body of a function, which may call ``query(selector)``
    and ``count(selector)``. An error in the page fails the test.
    """
    page = path.with_suffix('.test.html')
    page.write_text(path.read_text() + TEST % script)
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [EXECUTABLE, *FLAGS, f'--user-data-dir={profile}', '--dump-dom',
             f'file://{page}'], capture_output=True, text=True, timeout=120)
    found = re.search('<pre id="test">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found and found[1], done.stderr[-2000:]
    result = json.loads(html.unescape(found[1]))
    assert not result['errors'], result['errors']
    return result['value']
