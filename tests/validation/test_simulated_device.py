"""The simulated device of `test_devices.py` refuses and counts what it says: a test on it can fail."""

import os

import pytest
import torch
from simulated_device import AVAILABLE, counted, device, without_double
from torch import nn

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason="this torch knows no devices written in Python"),
    pytest.mark.skipif(
        os.environ.get("KD2M_DEVICE") != "simulated", reason="needs a process of its own; test_on_a_device.py starts one"
    ),
]


@pytest.fixture(scope="module")
def there():
    return device()


@pytest.fixture
def x(there):
    return torch.arange(6.0).reshape(3, 2).to(there)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x + torch.ones(3, 2),
        lambda x: x @ torch.ones(2, 2),
        lambda x: torch.cat((x, torch.ones(3, 2))),
        lambda x: torch.stack((x.sum(), torch.tensor(1.0))),
        lambda x: torch.ones(3).add_(x[:, 0]),
        lambda x: torch.tensor(1.0).add_(x[0, 0]),
        lambda x: torch.ones(3, 2)[x[:, 0].long() // 2],
        lambda x: nn.Linear(2, 2)(x),
        lambda x: nn.functional.cross_entropy(x, torch.tensor([0, 1, 1])),
        lambda x: torch.where(x > 0, x, torch.ones(3, 2)),
        lambda x: torch.linalg.solve_triangular(torch.eye(3), x, upper=True),
    ],
)
def test_two_devices_in_one_operation_are_refused(mixed, x):
    with pytest.raises(RuntimeError, match="all tensors to be on the same device"):
        mixed(x)


def test_what_cuda_takes_from_the_cpu_is_taken(x):
    assert (x + torch.tensor(1.0)).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert torch.where(x > 3, 0.0, x).tolist() == [[0, 1], [2, 3], [0, 0]]
    with counted() as events:
        assert x[torch.tensor([2, 0])].tolist() == [[4, 5], [0, 1]]
    assert events == {"to device": 1, "to host": 1}


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda x: x.cpu(), {"to host": 1}),
        (lambda x: x.tolist(), {"to host": 1}),
        (lambda x: x.detach().to("cpu", torch.float64).numpy(), {"to host": 1}),
        (lambda x: torch.empty(3, 2).copy_(x), {"to host": 1}),
        (lambda x: x.copy_(torch.ones(3, 2)), {"to device": 1}),
        (lambda x: torch.ones(2).to(x), {"to device": 1}),
        (lambda x: torch.tensor([1.0], device=x.device), {"to device": 1}),
        (lambda x: x.to(x.device, torch.float16).clone(), {}),
        (lambda x: x.sum().item(), {"waits": 1}),
        (lambda x: float(x.max()), {"waits": 1}),
        (lambda x: bool((x > 0).any()), {"waits": 1}),
        (lambda x: x[x > 2], {"waits": 1}),
        (lambda x: x.masked_fill(x > 2, 0.0), {}),
        (lambda x: x.nonzero(), {"waits": 1}),
        (lambda x: x.unique(), {"waits": 1}),
        (lambda x: torch.equal(x, x), {"waits": 1}),
        (lambda x: torch.linalg.svd(x), {"waits": 1}),
        (lambda x: torch.linalg.cholesky_ex(x.T @ x), {}),
        (lambda x: x[x[:, 0].long() // 2], {}),
        (lambda x: torch.randn(4, device=x.device) + torch.zeros(4, device=x.device), {}),
    ],
)
def test_copies_and_waits_are_counted(act, expected, x):
    with counted() as events:
        act(x)
    assert events == expected


def test_it_computes_what_the_cpu_computes_also_backward(there):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 6, 6, generator=generator)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    optimiser, found = torch.optim.SGD(model.parameters(), lr=0.1), []
    start = {name: value.clone() for name, value in model.state_dict().items()}
    for place in ("cpu", there):
        model.load_state_dict(start)
        model.to(place)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            optimiser.zero_grad()
            model(images.to(place)).square().mean().backward()
            optimiser.step()
        assert {each.device.type for each in model.parameters()} == {torch.device(place).type}
        found.append({name: value.cpu().clone() for name, value in model.state_dict().items()})
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value)
    assert not torch.equal(found[0]["0.weight"], start["0.weight"])


def test_numbers_are_drawn_by_a_generator_of_the_device(there):
    first, again, other = (
        torch.randn(5, generator=torch.Generator(there).manual_seed(seed), device=there).cpu() for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.arange(3, device=there).tolist() == [0, 1, 2]
    assert torch.linspace(0, 1, 3, device=there).tolist() == [0, 0.5, 1]
    assert torch.eye(2, device=there).tolist() == [[1, 0], [0, 1]]


def test_float64_can_be_missing(x, there):
    with without_double():
        for make in (
            lambda: x.double(),
            lambda: torch.zeros(2, dtype=torch.float64, device=there),
            lambda: x.to(torch.float64),
        ):
            with pytest.raises(TypeError, match="does not support float64"):
                make()
        assert x.cpu().double().dtype == torch.float64
    assert x.double().dtype == torch.float64
