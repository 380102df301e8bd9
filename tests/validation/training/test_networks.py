"""Networks: sizes as published, one head used once, features and stages that are what they say, and clear refusals."""

import sys
import types

import pytest
import torch
from torch import nn
from torch.nn import functional

from kd2m_theory.errors import InputError, MissingDependencyError
from kd2m_theory.validation.training.networks import KNOWN, network, parameters
from kd2m_theory.validation.training.outputs import Outputs

pytestmark = pytest.mark.usefixtures("one_thread")

# Millions of parameters for the 100 classes of CIFAR-100, as the distillation literature prints them.
PUBLISHED = {
    "resnet8x4": 1.23, "resnet32x4": 7.43, "resnet20": 0.28, "resnet56": 0.86, "resnet110": 1.74,
    "wrn-16-2": 0.70, "wrn-40-1": 0.57, "wrn-40-2": 2.26, "vgg8": 3.97, "vgg13": 9.46,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_published(name):
    assert round(parameters(network(name, 100, (3, 32, 32), seed=0)) / 1e6, 2) == PUBLISHED[name]


@pytest.mark.parametrize(("name", "layers"), [("resnet8", 8), ("resnet44", 44), ("resnet110", 110)])
def test_depth_counts_layers_with_weights_outside_shortcuts(name, layers):
    made = network(name, 10, (3, 32, 32), seed=0)
    found = [
        path for path, module in made.named_modules() if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in path
    ]
    assert len(found) == layers


@pytest.mark.parametrize(
    ("name", "classes", "image_shape", "count"),
    [
        ("resnet18", 1000, (3, 224, 224), 11_689_512),  # torchvision's documentation
        ("resnet34", 1000, (3, 224, 224), 21_797_672),
        ("resnet18-3x3", 10, (3, 32, 32), 11_173_962),  # the networks that are usual on CIFAR-10
        ("resnet34-3x3", 10, (3, 32, 32), 21_282_122),
        ("lenet", 10, (1, 28, 28), 61_706),
    ],
)
def test_parameters_are_those_that_others_count(name, classes, image_shape, count):
    assert parameters(network(name, classes, image_shape, seed=0)) == count


@pytest.mark.parametrize(
    "name", [*(each for each in KNOWN if each != "lenet"), "mlp-7", "cnn-4", "cnn-4-5-6-7", "resnet26", "wrn-10-3"]
)
@pytest.mark.parametrize("image_shape", [(1, 8, 8), (3, 19, 32)])
def test_outputs_are_what_the_network_says(name, image_shape):
    made = network(name, 5, image_shape, seed=0)
    entered = []
    made.fc.register_forward_hook(lambda _m, inputs, _o: entered.append(inputs[0]))
    images = torch.randn(3, *image_shape, generator=torch.Generator().manual_seed(0))
    outputs = made(images)
    assert isinstance(outputs, Outputs)
    assert len(entered) == 1
    assert entered[0] is outputs.features
    assert outputs.logits.shape == (3, 5)
    assert outputs.features.shape == (3, made.feature_size)
    torch.testing.assert_close(outputs.logits, outputs.features @ made.fc.weight.T + made.fc.bias)
    assert tuple(stage.shape[1] for stage in outputs.stages) == made.stage_channels
    sides = [stage.shape[2:] for stage in outputs.stages]
    assert sides == sorted(sides, reverse=True)
    assert (made.stage_channels == ()) == name.startswith("mlp")


@pytest.mark.parametrize(
    "name", ["resnet8x4", "wrn-16-2", "mlp-16", "cnn-8-16", "digits-teacher", "digits-student", "resnet18", "vgg8"]
)
@pytest.mark.parametrize("image_shape", [(3, 64, 64), (1, 1, 16), (1, 9, 13)])
def test_other_sizes_of_images(name, image_shape):
    if name == "cnn-8-16" and image_shape[1] == 1:
        name = "cnn-8"
    if name == "vgg8" and image_shape[1] == 1:
        with pytest.raises(InputError, match="vgg8 takes images of at least 8 × 8 pixels, these have 1 × 16"):
            network(name, 3, image_shape)
        return
    made = network(name, 3, image_shape, seed=0).eval()
    assert made(torch.zeros(2, *image_shape)).logits.shape == (2, 3)


def test_every_parameter_learns():
    for name in (
        *("resnet14", "wrn-16-1", "cnn-8-16", "mlp-32-32", "digits-teacher", "digits-student"),
        *("resnet18-3x3", "vgg13", "lenet"),
    ):
        made = network(name, 4, (1, 16, 16), seed=0)
        images = torch.randn(16, 1, 16, 16, generator=torch.Generator().manual_seed(1))
        functional.cross_entropy(made(images).logits, torch.arange(16) % 4).backward()
        for path, parameter in made.named_parameters():
            assert parameter.grad is not None, (name, path)
            assert parameter.grad.abs().sum() > 0, (name, path)


def plain_resnet8(made, x):
    """ResNet-8 written out layer by layer from the paper, in evaluation mode with fresh batch normalisation (x / √(1 + ε))."""
    shrink = (1 + 1e-5) ** -0.5
    x = functional.relu(functional.conv2d(x, made.stem[0].weight, padding=1) * shrink)
    for k, group in enumerate(made.groups):
        block, stride = group[0], 1 if k == 0 else 2
        out = functional.relu(functional.conv2d(x, block.conv1.weight, stride=stride, padding=1) * shrink)
        out = functional.conv2d(out, block.conv2.weight, padding=1) * shrink
        side = x if k == 0 else functional.conv2d(x, block.shortcut[0].weight, stride=stride) * shrink
        x = functional.relu(out + side)
    return functional.linear(functional.avg_pool2d(x, 8).flatten(1), made.fc.weight, made.fc.bias)


def test_resnet8_is_the_network_of_the_paper():
    made = network("resnet8", 10, (3, 32, 32), seed=3).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(made(images).logits, plain_resnet8(made, images), rtol=1e-4, atol=1e-5)


def test_the_last_stage_makes_the_features():
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for name in ("resnet8x4", "wrn-16-2", "cnn-8-16", "resnet18", "vgg8"):
        made = network(name, 10, (3, 32, 32), seed=3).eval()
        outputs = made(images)
        last = outputs.stages[-1]
        if name == "wrn-16-2":  # its groups end without an activation
            last = functional.relu(made.last_bn(last))
        torch.testing.assert_close(last.mean(dim=(2, 3)), outputs.features)
        assert outputs.features.min() >= 0


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [*KNOWN, "mlp-7", "cnn-4"])
def test_the_activation_of_the_preactivation_is_what_comes_next(name, training):
    """Of a ReLU network it is the first stage; of a wide ResNet, what the second group's first convolution reads."""
    made = network(name, 5, (3, 16, 16), seed=0).train(training)
    read = []
    if name.startswith(("wrn", "mlp")):
        spot = made.groups[1][0].conv1 if name.startswith("wrn") else next(m for m in made.encoder if isinstance(m, nn.ReLU))
        spot.register_forward_hook(lambda _m, inputs, out: read.append(out if name.startswith("mlp") else inputs[0]))
    outputs = made(torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    shallow = outputs.preactivation
    assert shallow.shape[:2] == (3, made.preactivation_channels)
    assert (shallow < 0).any()
    expected = read[0] if read else outputs.stages[0]
    torch.testing.assert_close(functional.relu(shallow), expected.reshape(shallow.shape), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["resnet8", "wrn-10-1", "cnn-4-8", "digits-teacher"])
def test_a_preactivation_costs_no_pass_of_a_layer(name):
    """Every layer runs once: a second pass would also move the running statistics twice."""
    made = network(name, 5, (3, 16, 16), seed=0)
    runs = []
    for module in made.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            module.register_forward_hook(lambda m, _i, _o: runs.append(m))
    made(torch.zeros(2, 3, 16, 16))
    layers = [m for m in made.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    assert len(runs) == len(set(map(id, runs))) == len(layers)


def test_a_seed_fixes_the_weights_and_leaves_torchs_state_alone():
    state = torch.random.get_rng_state()
    first, second, other = (network("resnet8", 10, (1, 8, 8), seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])
    torch.manual_seed(1)
    again = network("resnet8", 10, (1, 8, 8)).state_dict()
    torch.random.set_rng_state(state)
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet8x5", r"no network 'resnet8x5'; did you mean 'resnet8x4'\?"),
        ("wrn_16_2", r"no network 'wrn_16_2'; did you mean 'wrn-16-2'\?"),
        ("resnet21", r"resnet21 has no depth 6n \+ 2, .* did you mean 'resnet20'\?"),
        ("resnet50x4", r"resnet50x4"),
        ("wrn-17-2", r"6n \+ 4, .* did you mean 'wrn-16-2'\?"),
        ("resnet34-3x4", r"did you mean 'resnet34-3x3'\?"),
        ("vgg12", r"did you mean 'vgg1[1369]'\?"),
        ("resnet0", r"did you mean 'resnet8'\?"),
        ("digits-techer", "did you mean 'digits-teacher'"),
        ("mlp", "no network 'mlp'"),
        ("mlp-0", "no network 'mlp-0'"),
        ("", "no network ''"),
        ("cnn-4-4-4-4-4", "5 convolutions halve 8 × 8 pixels to nothing; name at most 4, for example cnn-4-4-4-4"),
    ],
)
def test_names_that_are_refused(name, words):
    if name == "resnet50x4":  # 50 = 6·8 + 2 is a depth of the family
        assert network(name, 2, (1, 8, 8), seed=0).stage_channels == (64, 128, 256)
        return
    with pytest.raises(InputError, match=words):
        network(name, 10, (1, 8, 8))


@pytest.mark.parametrize(
    ("classes", "image_shape", "words"),
    [(1, (1, 8, 8), "classes is 1"), (10, (8, 8), r"shape of the images is \(8, 8\)"), (10, (1, 0, 8), r"\(1, 0, 8\)")],
)
def test_shapes_that_are_refused(classes, image_shape, words):
    with pytest.raises(InputError, match=words):
        network("resnet8", classes, image_shape)


class Plain(nn.Module):
    def __init__(self, classes, image_shape, after=None):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(image_shape[1] * image_shape[2], 6), nn.BatchNorm1d(6))
        self.fc = nn.Linear(6, classes)
        self.after = after or nn.Identity()

    def forward(self, images):
        return self.after(self.fc(self.body(images)))


class Full(Plain):
    def forward(self, images):
        features = self.body(images)
        return Outputs(self.fc(features), features, (features[:, :, None, None],))


class Headless(Plain):
    def __init__(self, classes, image_shape):
        super().__init__(classes, image_shape)
        self.last = self.fc
        del self.fc

    def forward(self, images):
        return self.last(self.body(images))


def wrong(name, value):
    def factory(classes, image_shape):
        made = Full(classes, image_shape)
        setattr(made, name, value)
        return made

    return factory


def failing(classes, image_shape):
    raise RuntimeError("no\nluck")


@pytest.fixture
def users(monkeypatch):
    module = types.ModuleType("my_networks")
    module.plain, module.full = Plain, Full
    module.scaled = lambda classes, image_shape: Plain(classes, image_shape, nn.Softmax(dim=1))
    module.headless = Headless
    module.number = lambda classes, image_shape: 3
    module.more = lambda classes, image_shape: Plain(classes + 1, image_shape)
    module.failing, module.constant = failing, 7
    module.size, module.stages = wrong("feature_size", 9), wrong("stage_channels", (1, 2))
    module.picky = lambda classes, image_shape: Plain(classes, (1, 3, 3))
    monkeypatch.setitem(sys.modules, "my_networks", module)


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("name", ["plain", "full"])
def test_a_factory_of_the_users(name):
    torch.manual_seed(0)
    original = (Plain if name == "plain" else Full)(4, (1, 8, 8))
    made = network(f"my_networks:{name}", 4, (1, 8, 8), seed=0)
    images = torch.randn(5, 1, 8, 8)
    expected = original(images)
    outputs = made(images)
    torch.testing.assert_close(outputs.logits, expected if name == "plain" else expected.logits, rtol=0, atol=0)
    torch.testing.assert_close(made.fc(outputs.features), outputs.logits)
    assert made.feature_size == 6
    assert made.stage_channels == (() if name == "plain" else (6,))
    assert made.training
    assert sum(p.numel() for p in made.parameters()) == parameters(original)
    assert made.state_dict().keys() >= {"fc.weight", "fc.bias"}


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_networks:plane", r"no function 'plane'; did you mean 'plain'\?"),
        ("my_networks:constant", "no function 'constant'"),
        ("my_netwroks:plain", "'my_netwroks' .* cannot be imported"),
        (":plain", "cannot be imported"),
        ("my_networks:number", "returns int, not an nn.Module"),
        ("my_networks:failing", "RuntimeError: no luck"),
        ("my_networks:picky", "makes no network for such images"),
        ("my_networks:headless", "no nn.Linear `fc`"),
        ("my_networks:more", "predicts 5 classes, the data have 4"),
        ("my_networks:scaled", "without softmax or scaling"),
        ("my_networks:size", "says feature_size = 9, and returns 6"),
        ("my_networks:stages", r"says stage_channels = \(1, 2\), and returns \(6,\)"),
    ],
)
def test_factories_that_are_refused(name, words):
    with pytest.raises(InputError, match=words) as refused:
        network(name, 4, (1, 8, 8))
    assert "\n" not in str(refused.value)


def test_timm(monkeypatch):
    asked = []

    def create_model(name, pretrained, num_classes, in_chans):
        assert (name, num_classes) == ("tiny_net", 0)
        asked.append(pretrained)
        if in_chans == 1 and pretrained:
            raise RuntimeError("no file and\nno network")
        return nn.Sequential(nn.Conv2d(in_chans, 3, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    fake = types.ModuleType("timm")
    fake.list_models, fake.create_model = lambda: ["tiny_net", "huge_net"], create_model
    monkeypatch.setitem(sys.modules, "timm", fake)
    made = network("timm:tiny_net", 4, (3, 8, 8), seed=0)
    assert (made.feature_size, made.fc.out_features, made.stage_channels) == (3, 4, ())
    assert made(torch.zeros(2, 3, 8, 8)).features.shape == (2, 3)
    network("timm:tiny_net@pretrained", 4, (3, 8, 8), seed=0)
    assert asked == [False, True]
    with pytest.raises(InputError, match="timm:tiny_net has no weights here for images of 1 channels: no file and no network"):
        network("timm:tiny_net@pretrained", 4, (1, 8, 8), seed=0)
    with pytest.raises(InputError, match=r"no model 'tiny_nte'; did you mean 'tiny_net'\?"):
        network("timm:tiny_nte", 4, (3, 8, 8))
    with pytest.raises(InputError, match=r"timm:tiny_net does not take images of shape \(3, 4, 4\)"):
        network("timm:tiny_net", 4, (3, 4, 4))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match="pip install timm"):
        network("timm:tiny_net", 4, (3, 8, 8))
