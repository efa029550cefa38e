"""STD-CL costs nothing at test time."""
import pytest
import torch

from tools.benchmark import inference_cost


def test_same_parameters_and_flops():
    case = inference_cost.run_encoder('hcn', repeats=1)
    for cost in ('parameters', 'flops'):
        assert case['plain'][cost] == case['stdcl'][cost] > 1e5
    assert case['clip'] == [1, 64, 20, 3]


def test_networks_that_differ_are_not_timed(monkeypatch):
    scores = iter([torch.zeros(1), torch.ones(1)])
    monkeypatch.setattr(inference_cost, 'predict', lambda *_: next(scores))
    with pytest.raises(SystemExit, match='hcn: the scores.*differ'):
        inference_cost.run_encoder('hcn', repeats=1)
