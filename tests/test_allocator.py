"""Freed memory is reused, not obtained from the system again."""
import platform

import pytest
import torch

from projects.stdcl.utils.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='no glibc')
def test_large_tensors_reuse_memory():
    import resource

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            torch.ones(2**24)  # 64 MiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    keep_freed_memory()
    faults()
    assert faults() < 100  # 65,536 if all pages were new (huge pages: 128)
