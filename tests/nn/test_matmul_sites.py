"""Matrix products by function calls, taken over where they are made."""

from __future__ import annotations

import copy

import pytest
import torch
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen import exact_table
from rtlgrad.nn import calibrate, table_ids
from rtlgrad.nn.matmul_sites import approximate_matmuls
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

FINE = exact_table(12, 12)


class Inner(nn.Module):
    def forward(self, x):
        return torch.bmm(x, mat2=x.transpose(1, 2))


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.linear = Inner(), nn.Linear(4, 4)

    def forward(self, x):
        x = self.linear(x)
        mixed = self.inner(x) @ x
        y = functional.scaled_dot_product_attention(mixed, x, x, is_causal=True)
        return torch.matmul(y, x.transpose(-2, -1))


def built(**options):
    torch.manual_seed(0)
    model = nn.ModuleDict({"outer": Outer()})
    exact, x = copy.deepcopy(model), torch.randn(2, 3, 4)
    run = lambda m, batch: m["outer"](batch)  # noqa: E731
    sites = approximate_matmuls(model, FINE, x, forward=run, **options)
    calibrate(model, [x], forward=run)
    return model.eval(), exact.eval(), x, sites


def test_calls_belong_to_the_innermost_module():
    model, exact, x, sites = built()
    assert {site.name: site.calls for site in sites} == {
        "outer": ("matmul", "scaled_dot_product_attention", "matmul"),
        "outer.inner": ("bmm",),
    }
    assert len(table_ids(model)) == 5
    want = exact["outer"](x)
    assert 0 < (model["outer"](x) - want).abs().max() < 0.01 * want.abs().max()


def test_a_pattern_leaves_other_modules_as_they_are():
    model, exact, x, sites = built(pattern="outer")
    assert [site.name for site in sites] == ["outer"]
    inner = model["outer"].inner(x)
    assert torch.equal(inner, exact["outer"].inner(x))
    torch.testing.assert_close(model["outer"](x), exact["outer"](x), rtol=0.05, atol=0.02)


def test_copies_errors_and_checkpointing_leave_the_switch_as_it_was():
    model, exact, x, _ = built()
    want = model["outer"](x)
    twin = copy.deepcopy(model)
    assert torch.equal(twin["outer"](x), want)
    with pytest.raises(RuntimeError):
        model["outer"](torch.randn(2, 3, 5))
    assert torch.equal(model["outer"](x), want)
    assert torch.equal(x @ x.transpose(1, 2), torch.bmm(x, x.transpose(1, 2)))  # outside: exact
    x.requires_grad_()
    plain = torch.autograd.grad(model["outer"](x).sum(), x)[0]
    again = torch.autograd.grad(checkpoint(model["outer"], x, use_reentrant=False).sum(), x)[0]
    assert torch.equal(plain, again)
    exactly = torch.autograd.grad(exact["outer"](x).sum(), x)[0]
    assert (plain - exactly).norm() < 0.1 * exactly.norm()


def test_a_module_that_makes_other_products_is_an_error():
    model, _, x, _ = built()
    model["outer"].forward = lambda x: torch.bmm(x, x.transpose(1, 2))
    with pytest.raises(ConfigError, match="call 1: bmm"):
        model["outer"](x)
    with pytest.raises(ConfigError, match="no matrix product"):
        approximate_matmuls(nn.Sequential(nn.Linear(2, 2)), FINE, torch.randn(1, 2))
