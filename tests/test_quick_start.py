"""The quick start reaches the accuracy that its page promises."""
import pytest

from projects.stdcl.apis import train
from projects.stdcl.catalogue import find_config


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 1])
def test_accuracy(tmp_path, seed):
    runner = train(find_config('stgcn', 'synthetic', stdcl=True),
                   str(tmp_path), seed=seed)
    top1 = runner.message_hub.get_scalar('val/acc/top1').current()
    assert top1 >= 0.96
