"""Weights to begin with: files in torchvision's naming are read, and what does not fit is named."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kd2m_theory.errors import InputError
from kd2m_theory.validation.origin import inputs_of
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.training.networks import network

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (3, 16, 16)


def names_of_torchvision(blocks):
    """Names and shapes of torchvision's state dict of a ResNet with blocks of two layers, from its documentation."""
    found = {"conv1.weight": (64, 3, 7, 7)}

    def normalisation(name, width):
        found.update({f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})
        found[f"{name}.num_batches_tracked"] = ()

    normalisation("bn1", 64)
    before = 64
    for group, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), 1):
        for block in range(count):
            name = f"layer{group}.{block}"
            found[f"{name}.conv1.weight"] = (width, before, 3, 3)
            normalisation(f"{name}.bn1", width)
            found[f"{name}.conv2.weight"] = (width, width, 3, 3)
            normalisation(f"{name}.bn2", width)
            if before != width:
                found[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
                normalisation(f"{name}.downsample.1", width)
            before = width
    return found | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def state_of(shapes):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(shape, generator=generator) * 0.1 if shape else torch.tensor(7) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "blocks", "kind"),
    [("resnet18", (2, 2, 2, 2), "pth"), ("resnet18", (2, 2, 2, 2), "safetensors"), ("resnet34", (3, 4, 6, 3), "pth")],
)
def test_torchvisions_names_are_read_and_the_head_stays_fresh(name, blocks, kind, tmp_path):
    state = state_of(names_of_torchvision(blocks))
    path = tmp_path / f"weights.{kind}"
    (torch.save if kind == "pth" else save_file)(state, path)
    fresh, made = network(name, 10, SHAPE, seed=3), network(f"{name}@{path}", 10, SHAPE, seed=3)
    found = made.state_dict()
    assert found.keys() == state.keys()
    for key, value in found.items():
        assert torch.equal(value, fresh.state_dict()[key] if key.startswith("fc.") else state[key]), key


def test_the_network_computes_what_the_file_says(tmp_path):
    """In evaluation mode with statistics of the file: ResNet's first block written out."""
    state = state_of(names_of_torchvision((2, 2, 2, 2)))
    torch.save(state, tmp_path / "weights.pth")
    made = network(f"resnet18@{tmp_path / 'weights.pth'}", 10, SHAPE, seed=0).eval()

    def normal(x, name):
        scale = state[f"{name}.weight"] / (state[f"{name}.running_var"] + 1e-5).sqrt()
        return (x - state[f"{name}.running_mean"][:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]

    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    expected = nn.functional.conv2d(x, state["conv1.weight"], stride=2, padding=3)
    expected = nn.functional.max_pool2d(normal(expected, "bn1").relu(), 3, 2, 1)
    for block in ("layer1.0", "layer1.1"):
        out = nn.functional.conv2d(expected, state[f"{block}.conv1.weight"], padding=1)
        out = nn.functional.conv2d(normal(out, f"{block}.bn1").relu(), state[f"{block}.conv2.weight"], padding=1)
        expected = (normal(out, f"{block}.bn2") + expected).relu()
    torch.testing.assert_close(made(x).stages[0], expected, rtol=1e-4, atol=1e-4)


def test_files_of_old_versions_lack_counters(tmp_path):
    state = {k: v for k, v in state_of(names_of_torchvision((2, 2, 2, 2))).items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth")
    made = network(f"resnet18@{tmp_path / 'old.pth'}", 10, SHAPE, seed=0)
    assert torch.equal(made.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert int(made.bn1.num_batches_tracked) == 0


def test_what_does_not_fit_is_named(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(state_of(names_of_torchvision((2, 2, 2, 2))), path)
    with pytest.raises(
        InputError, match=r"weights\.pth does not fit resnet34: layer1\.2\.conv1\.weight is missing, not \(64, 64, 3, 3\)"
    ):
        network(f"resnet34@{path}", 10, SHAPE)
    with pytest.raises(InputError, match=r"does not fit resnet18-3x3: conv1\.weight is \(64, 3, 7, 7\), not \(64, 3, 3, 3\)"):
        network(f"resnet18-3x3@{path}", 10, SHAPE)
    with pytest.raises(InputError, match=r"conv1\.weight is \(64, 3, 7, 7\), not \(64, 1, 7, 7\)"):
        network(f"resnet18@{path}", 10, (1, 16, 16))
    with pytest.raises(InputError, match=r"does not fit lenet: .* and \d+ more"):
        network(f"lenet@{path}", 10, SHAPE)
    with pytest.raises(InputError, match="there is no file"):
        network(f"resnet18@{tmp_path / 'none.pth'}", 10, SHAPE)
    torch.save({"epoch": 3, "state_dict": {}}, path)
    with pytest.raises(InputError, match=r"holds no state dict of a network .*epoch, state_dict.*; save network\.state_dict"):
        network(f"resnet18@{path}", 10, SHAPE)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(InputError, match="it is a list"):
        network(f"resnet18@{path}", 10, SHAPE)
    for kind in ("pth", "safetensors"):
        path = tmp_path / f"damaged.{kind}"
        path.write_bytes(b"half a file")
        with pytest.raises(InputError, match="holds no state dict of a network"):
            network(f"resnet18@{path}", 10, SHAPE)


class Runs:
    """Unpickled, it would call a function."""

    def __reduce__(self):
        return (print, ("run",))


def test_a_file_is_data_and_runs_nothing(tmp_path, capsys):
    torch.save({"conv1.weight": Runs()}, tmp_path / "code.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        network(f"resnet18@{tmp_path / 'code.pth'}", 10, SHAPE)
    assert "run" not in capsys.readouterr().out


def test_the_files_content_is_among_the_inputs_of_a_run(tmp_path):
    made = network("lenet", 10, (1, 28, 28), seed=0)
    path = tmp_path / "lenet.pth"
    torch.save(made.state_dict(), path)
    source = population("digits")
    first = inputs_of({"name": "digits"}, source, [f"lenet@{path}"])
    assert f"file of initial weights {path}" in first
    torch.save(network("lenet", 10, (1, 28, 28), seed=1).state_dict(), path)
    assert inputs_of({"name": "digits"}, source, [f"lenet@{path}"]) != first
