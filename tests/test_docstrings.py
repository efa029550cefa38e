"""Examples in the docstrings of the parts of STD-CL."""
import doctest
import importlib

import pytest


@pytest.mark.parametrize('name', [
    'decouplers.attentive_decoupler', 'memory_banks.memory_bank',
    'losses.cross_sequence_contrastive_loss'])
def test_examples(name):
    module = importlib.import_module(f'projects.stdcl.models.{name}')
    failed, tried = doctest.testmod(module)
    assert tried and not failed
