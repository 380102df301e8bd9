import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kd2m_theory import InputError, Pair, audit


class Net(nn.Module):
    def __init__(self, features=5, head=None, after=None, twice=False):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, features), nn.BatchNorm1d(features), nn.ReLU(), nn.Dropout(0.5))
        self.fc = head if head is not None else nn.Linear(features, 3)
        self.after = after
        self.twice = twice

    def forward(self, x):
        out = self.fc(self.body(x))
        if self.twice:
            out = self.fc(self.body(x))
        return out if self.after is None else self.after(out)


@pytest.fixture
def nets():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield Net(), Net()


def loader(n=10, labels=True, size=4):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(1))
    data = (x, torch.arange(n) % 3) if labels else (x,)
    return DataLoader(TensorDataset(*data), batch_size=size)


def test_features_are_what_enters_the_head(nets):
    teacher, student = nets
    pair = Pair.from_models(teacher, student, loader())
    x = torch.cat([batch[0] for batch in loader()])
    with torch.no_grad():
        for net, features in ((teacher, pair.features_teacher), (student, pair.features_student)):
            np.testing.assert_allclose(features, net.eval().body(x), rtol=1e-6)
    np.testing.assert_array_equal(pair.head_weight, teacher.fc.weight.detach())
    np.testing.assert_allclose(pair.logits_student, student(x).detach(), rtol=1e-5)
    np.testing.assert_array_equal(pair.labels, np.arange(10) % 3)
    assert pair.inputs_paired
    assert pair.provenance["teacher"] == "Net, head fc"
    assert audit(pair).violations == ()


def test_nothing_is_left_behind(nets):
    teacher, student = nets
    teacher.train()
    teacher.body[1].eval()
    running = teacher.body[1].running_mean.clone()
    Pair.from_models(teacher, student.eval(), loader())
    assert teacher.training
    assert not teacher.body[1].training
    assert not student.training
    assert torch.equal(teacher.body[1].running_mean, running)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in teacher.parameters())
    assert not teacher.fc._forward_hooks
    with pytest.raises(InputError, match="a batch of the loader is a set; pass unpack=… to turn it into"):
        Pair.from_models(teacher, student, [{1, 2}])
    assert not teacher.fc._forward_hooks
    assert teacher.training


def test_a_network_with_itself(nets):
    pair = Pair.from_models(nets[0], nets[0], loader())
    np.testing.assert_array_equal(pair.features_teacher, pair.features_student)


def test_logits_only_on_request(nets):
    assert Pair.from_models(*nets, loader(), teacher_head=None).features_teacher is None


def test_unlabelled_loaders(nets):
    assert Pair.from_models(*nets, loader(labels=False)).labels is None
    assert Pair.from_models(*nets, [torch.zeros(3, 4), torch.ones(2, 4)]).labels is None
    with pytest.raises(InputError, match="some batches have labels and some have none"):
        Pair.from_models(*nets, [torch.zeros(3, 4), (torch.ones(2, 4), torch.zeros(2, dtype=torch.long))])


def test_other_batches_go_through_unpack(nets):
    batches = [{"pixels": torch.zeros(3, 4), "y": torch.tensor([0, 1, 2])}]
    pair = Pair.from_models(*nets, batches, unpack=lambda batch: (batch["pixels"], batch["y"]))
    assert pair.n == 3


def test_outputs_with_logits_attribute(nets):
    class Output:
        def __init__(self, logits):
            self.logits = logits

    pair = Pair.from_models(nets[0], Net(after=Output), loader())
    assert pair.n == 10


@pytest.mark.parametrize(
    ("change", "keywords", "message"),
    [
        ({}, {"teacher_head": "classifier"}, r"the teacher \(Net\) has no module 'classifier'; did you mean 'fc'"),
        ({}, {"student_head": "f"}, r"the student \(Net\) has no module 'f'; did you mean 'fc'"),
        ({"after": nn.Softmax(dim=1)}, {"student_head": "fc"}, "the student's output is not what its head 'fc' makes"),
        ({"after": nn.Softmax(dim=1)}, {}, "the student puts out probabilities, the softmax of 'fc'; return the logits"),
        ({"after": nn.Sigmoid()}, {}, "the student puts out probabilities, the sigmoid of 'fc'; return the logits"),
        ({"twice": True}, {}, "ran 2 times in one forward pass"),
        ({}, {"student_head": "body.0"}, "the student's output is not what its head 'body.0' makes"),
        ({"after": lambda out: out.tolist()}, {}, "the student returns a list of 0: list, .*; expected batch × classes logits"),
        ({"after": lambda out: out[..., None]}, {}, r"of shape \(4, 3, 1\); .*Pair.from_tokens\(.*movedim\(1, -1\)"),
        ({"head": nn.Linear(5, 4)}, {}, "numbers of classes disagree"),
        ({}, {"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
        ({}, {"device": "abacus"}, "device 'abacus' cannot be used here"),
    ],
)
def test_models_that_cannot_be_audited(nets, change, keywords, message):
    with pytest.raises(InputError, match=message) as caught:
        Pair.from_models(nets[0], Net(**change), loader(), **keywords)
    assert "\n" not in str(caught.value)


def test_heads_over_tokens_are_refused():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(x[:, None, :].expand(-1, 2, -1)).mean(dim=1)

    with pytest.raises(InputError, match=r"has shape \(4, 2, 4\), not batch × features; pool or flatten"):
        Pair.from_models(Tokens(), Tokens(), loader(), "fc", "fc")


def test_what_the_model_changes_in_place_afterwards_is_not_taken(nets):
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            h = x * 2
            out = self.fc(input=h)
            h.zero_()
            return out

    class Scaled(InPlace):
        def forward(self, x):
            out = self.fc(x)
            out /= 4
            return out

    pair = Pair.from_models(InPlace(), InPlace(), loader())
    assert np.abs(pair.features_teacher).min() > 0
    with pytest.raises(InputError, match="the student's output is not what its head"):
        Pair.from_models(nets[0], Scaled(), loader(), student_head="fc")


def test_a_model_is_never_sent_where_it_cannot_come_back_from(nets):
    with pytest.raises(InputError, match="device 'meta' cannot be used here"):
        Pair.from_models(*nets, loader(), device="meta")
    assert next(nets[0].parameters()).device.type == "cpu"


def test_weights_that_are_not_loaded_are_named(nets):
    with pytest.raises(InputError, match=r"the student \(Net\) cannot be moved to 'cpu': Cannot copy out of meta tensor"):
        Pair.from_models(nets[0], Net().to("meta"), loader())
    with pytest.raises(InputError, match="inputs of float32 cannot be moved to 'cpu': Cannot copy out of meta tensor"):
        Pair.from_models(*nets, [torch.zeros(4, 2, device="meta")])


def test_inputs_of_several_tensors_and_labels_of_one():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(x["a"] + x["b"][0])

    batches = [({"a": torch.zeros(1, 4), "b": [torch.ones(1, 4)]}, k % 3) for k in range(4)]
    assert Pair.from_models(Two(), Two(), batches).n == 4
    with pytest.raises(InputError, match="the labels of a batch are str; pass integer classes"):
        Pair.from_models(Two(), Two(), [(batches[0][0], "cat")])


def test_empty_loader(nets):
    with pytest.raises(InputError, match="the loader gave no batch"):
        Pair.from_models(*nets, [])


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_a_parametrized_head_in_training_mode_is_left_as_it_was(nets, norm):
    teacher, student = nets
    teacher.fc = norm(teacher.fc)
    teacher.train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    pair = Pair.from_models(teacher, student, loader())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    teacher.eval()
    with torch.no_grad():
        x = torch.cat([batch[0] for batch in loader()])
        np.testing.assert_allclose(pair.logits_teacher, teacher(x), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(pair.head_weight, teacher.fc.weight, rtol=1e-6)


def test_what_a_model_keeps_from_a_forward_pass_can_be_trained_on(nets):
    class Caching(Net):
        """Keeps a table that it makes on the first call, as rotary embeddings do."""

        table = None

        def forward(self, x):
            if self.table is None:
                self.table = torch.ones(4) * x.new_ones(4)
            return super().forward(x * self.table)

    model = Caching()
    Pair.from_models(model, nets[1], loader())
    model.train()
    model(next(iter(loader()))[0]).sum().backward()
    assert model.fc.weight.grad is not None
