"""Networks, batches and outputs in the forms that people have, each with an oracle of its own: the network run by hand."""

import copy
import re
from collections import OrderedDict, UserDict, namedtuple

import foreign_libraries
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.bounds.constants.layers import network_lipschitz

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(12) % 3
BATCHES = [(X[:5], Y[:5]), (X[5:], Y[5:])]


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def body(width=5):
    return nn.Sequential(nn.Linear(4, width), nn.Tanh())


class Net(nn.Module):
    """Body and head; `after` is what it returns of its logits."""

    def __init__(self, head=None, width=5, after=None, name="out"):
        super().__init__()
        self.body = body(width)
        self.add_module(name, head if head is not None else nn.Linear(width, 3))
        self.after, self.name = after, name

    def forward(self, x):
        logits = self.get_submodule(self.name)(self.body(x))
        return logits if self.after is None else self.after(logits)


def by_hand(model, *inputs, **keywords):
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        return model(*inputs, **keywords)


def close(found, expected):
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-5, atol=1e-6)


def check(pair, teacher, student):
    """Features and logits are those of the networks, and the head makes one of the other."""
    for side, model in (("teacher", teacher), ("student", student)):
        close(getattr(pair, f"features_{side}"), by_hand(model.body, X))
        close(getattr(pair, f"logits_{side}"), by_hand(model, X))
    close(pair.apply_head(pair.features_teacher), pair.logits_teacher)
    assert audit(pair, only=["T1.head_aware", "T5"]).violations == ()


# Heads


@pytest.mark.parametrize("name", ["out", "classifier", "fc"])
def test_the_head_is_found_and_said(name, capsys):
    teacher, student = Net(name=name), Net(width=7)
    pair = Pair.from_models(teacher, student, BATCHES)
    close(pair.features_student, by_hand(student.body, X))
    close(pair.head_weight, teacher.get_submodule(name).weight.detach())
    assert pair.provenance["teacher"] == f"Net, head {name}"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"the teacher (Net): the head is {name!r} (Linear, 5 → 3), the last layer whose output is the logits",
        "the student (Net): the head is 'out' (Linear, 7 → 3), the last layer whose output is the logits",
    ]
    Pair.from_models(teacher, student, BATCHES, progress=False)
    assert capsys.readouterr().err == ""


def test_of_several_layers_that_put_out_the_logits_the_last_is_the_head():
    class Twice(Net):
        def forward(self, x):
            self.first(x)
            return super().forward(x)

    model = Twice()
    model.first = nn.Linear(4, 3)
    with torch.no_grad():
        for layer in (model.first, model.out):
            nn.init.zeros_(layer.weight)
            nn.init.ones_(layer.bias)
    assert Pair.from_models(model, model, BATCHES).provenance["teacher"] == "Twice, head out"


def test_a_linear_network_is_its_own_head():
    model = nn.Linear(4, 3)
    pair = Pair.from_models(model, model, BATCHES)
    close(pair.features_teacher, X)
    close(pair.head_weight, model.weight.detach())


def test_a_head_that_is_not_found_leaves_logits_and_a_reason():
    odd = Net(after=lambda logits: 2 * logits)
    with pytest.warns(UserWarning, match=r"has no head: its logits are 2 times what 'out' puts out; scale its weight and bias"):
        Pair.from_models(Net(), odd, BATCHES)
    odd.after = lambda logits: 2 * logits + 1
    with pytest.warns(
        UserWarning, match=r"the student \(Net\) has no head: no nn.Linear of it puts out the logits; .*student_head="
    ):
        pair = Pair.from_models(Net(), odd, BATCHES)
    assert pair.features_teacher is None
    assert pair.head_weight is None
    close(pair.logits_student, by_hand(odd, X))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_leaves_logits_and_a_reason():
    script = torch.jit.trace(Net(), X)
    with pytest.warns(UserWarning, match="hooks do not see inside TorchScript; pass the module that was scripted"):
        close(Pair.from_models(script, Net(), BATCHES).logits_teacher, by_hand(script, X))


def test_a_log_softmax_behind_the_head_changes_no_loss():
    teacher, student = Net(after=nn.LogSoftmax(dim=1)), Net(after=nn.LogSoftmax(dim=1))
    for heads in ("auto", "out"):
        pair = Pair.from_models(teacher, student, BATCHES, heads, heads)
        close(torch.log_softmax(torch.tensor(pair.logits_teacher), dim=1), by_hand(teacher, X))
        close(pair.apply_head(pair.features_teacher), pair.logits_teacher)


def test_dropout_in_a_named_head_does_not_hide_the_linear_layer():
    model = Net(nn.Sequential(nn.Dropout(), nn.Linear(5, 3)))
    pair = Pair.from_models(model, Net(), BATCHES, teacher_head="out")
    close(pair.head_weight, model.out[1].weight.detach())
    assert pair.provenance["teacher"] == "Net, head out.1"


class Adapter(nn.Module):
    """As peft's: a module around the layer, whose output it changes."""

    def __init__(self, base, rank=2):
        super().__init__()
        self.base_layer = base
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, rank, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(rank, base.out_features, bias=False)})
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        return self.base_layer(x) + 2.0 * self.lora_B["default"](self.lora_A["default"](self.dropout(x)))


@pytest.mark.parametrize("head", ["auto", "out"])
def test_an_adapter_around_the_head_is_read_with_its_change(head):
    teacher = Net(Adapter(nn.Linear(5, 3)))
    pair = Pair.from_models(teacher, Net(), BATCHES, teacher_head=head)
    adapter = teacher.out
    change = adapter.lora_B["default"].weight @ adapter.lora_A["default"].weight
    close(pair.head_weight, (adapter.base_layer.weight + 2 * change).detach())
    close(pair.head_bias, adapter.base_layer.bias.detach())
    assert pair.provenance["teacher"] == "Net, head out (Adapter around nn.Linear)"


class Saved(nn.Module):
    """As peft's `modules_to_save`: the layer as it was, and the trained copy that runs."""

    def __init__(self, original):
        super().__init__()
        self.original_module = original
        self.modules_to_save = nn.ModuleDict({"default": nn.Linear(original.in_features, original.out_features)})

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.modules_to_save["default"], name)

    def forward(self, x):
        return self.modules_to_save["default"](x)


@pytest.mark.parametrize("head", ["auto", "out"])
def test_the_trained_copy_of_a_head_is_read(head):
    teacher = Net(Saved(nn.Linear(5, 3)))
    pair = Pair.from_models(teacher, Net(), BATCHES, teacher_head=head)
    close(pair.head_weight, teacher.out.modules_to_save["default"].weight.detach())
    assert pair.features_teacher.shape == (12, 5)


class Cosine(nn.Module):
    def __init__(self, width=5, scale=8.0):
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(3, width)), scale

    def forward(self, x):
        return self.scale * nn.functional.linear(nn.functional.normalize(x), nn.functional.normalize(self.weight))


class CosineLinear(nn.Linear):
    def forward(self, x):
        return 4.0 * nn.functional.cosine_similarity(x[:, None, :], self.weight[None], dim=2)


@pytest.mark.parametrize(("head", "scale"), [(Cosine(), 8.0), (CosineLinear(5, 3, bias=False), 4.0)])
@pytest.mark.parametrize("name", ["auto", "out"])
def test_a_cosine_head_is_linear_in_directions(head, scale, name):
    teacher = Net(head)
    pair = Pair.from_models(teacher, Net(copy.deepcopy(head)), BATCHES, name, name)
    close(np.linalg.norm(pair.features_teacher, axis=1), np.ones(12))
    close(np.linalg.norm(pair.head_weight, axis=1), np.full(3, scale))
    close(pair.features_teacher @ pair.head_weight.T, by_hand(teacher, X))
    assert f"cosine of scale {scale:g}" in pair.provenance["teacher"]


def test_a_linear_subclass_that_is_no_linear_map_is_not_taken_for_one():
    class Squared(nn.Linear):
        def forward(self, x):
            return (4 * super().forward(x)) ** 2

    pair = Pair.from_models(Net(Squared(5, 3)), Net(), BATCHES)
    assert pair.head_weight is None
    assert pair.features_teacher.shape == (12, 5)


def deep():
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))


def test_a_nonlinear_head_keeps_the_features_at_its_input(capsys):
    teacher, student = Net(deep()), Net()
    student.out = copy.deepcopy(teacher.out)
    pair = Pair.from_models(teacher, student, BATCHES, "out", "out")
    close(pair.features_teacher, by_hand(teacher.body, X))
    assert pair.head_weight is None
    assert pair.provenance["shared_head"] == "Sequential, not linear, with the same layers and weights in both networks"
    assert "the head 'out' is not linear: bounds on features need" in capsys.readouterr().err
    constant = network_lipschitz(teacher.out, (5,)).upper
    report = audit(pair, head_lipschitz=constant)
    assert report["T1.l1"].holds
    assert report.violations == ()
    other = Pair.from_models(teacher, Net(deep()), BATCHES, "out", "out")
    assert other.provenance["shared_head"] == "none: the teacher's head is not linear, and the student has another"
    # Found, it is the layer inside that puts out the logits.
    assert Pair.from_models(teacher, student, BATCHES).provenance["teacher"] == "Net, head out.2"


# Batches


class Words(nn.Module):
    """In the calling convention of `transformers`: keywords in, a mapping with `.logits` out."""

    class Output(OrderedDict):
        def __getattr__(self, name):
            try:
                return self[name]
            except KeyError:
                raise AttributeError(name) from None

    def __init__(self, width=6, types=False):
        super().__init__()
        self.embedding = nn.Embedding(20, width)
        self.classifier = nn.Linear(width, 3)
        self.types = types

    def forward(self, input_ids=None, attention_mask=None, labels=None, return_dict=None):
        mask = attention_mask[..., None].float()
        pooled = (self.embedding(input_ids) * mask).sum(1) / mask.sum(1)
        logits = self.classifier(pooled)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        parts = {"loss": loss, "logits": logits}
        return self.Output({key: value for key, value in parts.items() if value is not None})


def sentences(n=6, length=7):
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(20, (n, length), generator=generator)
    mask = (torch.arange(length) < torch.randint(2, length, (n, 1), generator=generator)).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(n) % 3}


@pytest.mark.parametrize("kind", [dict, UserDict, OrderedDict])
def test_mappings_go_in_as_keywords_with_their_mask_and_without_labels(kind):
    teacher, student, batch = Words(), Words(4), sentences()
    pair = Pair.from_models(teacher, student, [kind(batch), kind(batch)])
    expected = by_hand(teacher, batch["input_ids"], batch["attention_mask"])["logits"]
    close(pair.logits_teacher, torch.cat([expected, expected]))
    np.testing.assert_array_equal(pair.labels, torch.cat([batch["labels"]] * 2))
    assert pair.provenance["student"] == "Words, head classifier"
    without_mask = by_hand(teacher, batch["input_ids"], torch.ones_like(batch["attention_mask"]))["logits"]
    assert not np.allclose(pair.logits_teacher[:6], without_mask)


def test_bert_and_distilbert_with_masks_and_token_types(monkeypatch):
    """The classes of `transformers` where they are installed, else a stand-in of their calling convention."""
    foreign_libraries.install(monkeypatch)
    import transformers as t

    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    bert = t.BertForSequenceClassification(t.BertConfig(vocab_size=20, hidden_size=8, num_labels=3, **sizes))
    small = t.DistilBertForSequenceClassification(
        t.DistilBertConfig(vocab_size=20, dim=4, n_layers=1, n_heads=2, hidden_dim=8, num_labels=3)
    )
    batch = sentences() | {"token_type_ids": torch.zeros(6, 7, dtype=torch.long)}
    ids, mask = batch["input_ids"], batch["attention_mask"]
    pair = Pair.from_models(
        bert, small, [batch], unpack=lambda b: (b, {k: b[k] for k in ("input_ids", "attention_mask")}, b["labels"])
    )
    for found, model in ((pair.logits_teacher, bert), (pair.logits_student, small)):
        close(found, by_hand(model, input_ids=ids, attention_mask=mask)["logits"])
        assert not np.allclose(found, by_hand(model, input_ids=ids)["logits"])
    close(pair.apply_head(pair.features_teacher), pair.logits_teacher)
    assert pair.provenance["student"] == "DistilBertForSequenceClassification, head classifier"
    assert pair.provenance["teacher"] == "BertForSequenceClassification, head classifier"
    assert audit(pair, only=["T0", "T2.logits.head_aware"]).violations == ()


def test_labels_that_a_network_needs_go_in_as_well():
    class Needs(Net):
        def forward(self, x, label):
            assert label is not None
            return super().forward(x)

    pair = Pair.from_models(Needs(), Net(), [{"x": X, "label": Y}])
    np.testing.assert_array_equal(pair.labels, Y)


def test_names_that_a_network_cannot_take_are_listed():
    batch = sentences() | {"token_type_ids": torch.zeros(6, 7)}
    with pytest.raises(
        InputError, match=r"takes input_ids, attention_mask, labels, return_dict, and a batch has .*'token_type_ids'"
    ):
        Pair.from_models(Words(), Words(), [batch])
    pair = Pair.from_models(
        Words(), Words(), [batch], unpack=lambda b: ({k: b[k] for k in ("input_ids", "attention_mask")}, b["labels"])
    )
    assert pair.n == 6


class Open(Words):
    """As models of `transformers` are now: it takes every keyword."""

    def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        return super().forward(input_ids, attention_mask, labels)


def test_inputs_that_no_parameter_names_are_warned_of_once(recwarn):
    full = sentences()
    batch = {"input_ids": full["input_ids"], "attention_msk": full["attention_mask"], "labels": full["labels"], "idx": [0] * 6}
    Pair.from_models(Open(), Words(), [batch, batch], unpack=lambda b: (b, full, b["labels"]))
    (said,) = [str(each.message) for each in recwarn]
    assert said.startswith("the teacher (Open) takes 'attention_msk', 'idx' by **kwargs alone")
    assert recwarn[0].filename == __file__


@pytest.mark.parametrize("key", ["y", "target", "Label", "label_ids", "Targets"])
def test_labels_under_another_name_are_asked_about(key, recwarn):
    full = sentences()
    batch = {"input_ids": full["input_ids"], "attention_mask": full["attention_mask"], key: full["labels"]}
    with pytest.warns(UserWarning, match="labels are looked for under 'labels' and 'label'") as caught:
        pair = Pair.from_models(Open(), Open(), [batch, batch])
    assert pair.labels is None
    said = [str(each.message) for each in caught]
    assert len(said) == 3  # one for the loader, one for each network
    unpack = eval(re.search(r"pass unpack=(.*)", said[0]).group(1))
    recwarn.clear()
    again = Pair.from_models(Open(), Open(), [batch, batch], unpack=unpack)
    np.testing.assert_array_equal(again.labels, torch.cat([full["labels"]] * 2))
    assert not recwarn


def test_keywords_of_a_network_that_names_none_and_named_ones_are_not_warned_of(recwarn):
    class All(Words):
        def forward(self, **batch):
            return super().forward(**batch)

    pair = Pair.from_models(All(), Open(), [sentences()] * 2)
    assert pair.labels is not None
    assert not recwarn


def test_each_network_has_its_own_inputs():
    class Ids(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.fc = nn.Embedding(9, 5), nn.Linear(5, 3)

        def forward(self, ids, mask):
            return self.fc((self.embedding(ids) * mask[..., None]).mean(1))

    teacher, student = Net(), Ids()
    ids, mask = torch.arange(12).reshape(12, 1) % 9, torch.ones(12, 1)
    pair = Pair.from_models(teacher, student, [(X, ids, mask, Y)], unpack=lambda b: (b[0], (b[1], b[2]), b[3]))
    close(pair.logits_teacher, by_hand(teacher, X))
    close(pair.logits_student, by_hand(student, ids, mask))
    named = Pair.from_models(teacher, student, [0], unpack=lambda _: ({"x": X}, {"mask": mask, "ids": ids}, Y))
    np.testing.assert_array_equal(named.logits_student, pair.logits_student)


Features = namedtuple("Features", ["a", "b"])


@pytest.mark.parametrize(
    "inputs", [(X, X), [X, X], Features(X, X), {"a": X, "b": X}], ids=["tuple", "list", "named", "mapping"]
)
def test_several_inputs(inputs):
    class Two(Net):
        def forward(self, a, b):
            return super().forward(a + b)

    model = Two()
    close(Pair.from_models(model, model, [(inputs, Y)]).logits_teacher, by_hand(model, X, X))


@pytest.mark.parametrize("inputs", [[X, X], {"a": X, "b": X}])
def test_a_network_that_takes_all_as_one_argument(inputs):
    class One(Net):
        def forward(self, everything):
            a, b = everything.values() if isinstance(everything, dict) else everything
            return super().forward(a + b)

    model = One()
    close(Pair.from_models(model, model, [(inputs, Y)]).logits_teacher, by_hand(model, inputs))


@pytest.mark.parametrize(
    ("unpack", "words"),
    [
        (lambda batch: batch[0], r"unpack returned 5×4 float32; it returns \(inputs, labels\) or \(teacher inputs"),
        (lambda batch: (batch[0],), r"unpack returned a tuple of 0: 5×4 float32; it returns"),
        (
            lambda batch: (batch[0], batch[1][:2]),
            r"batch 0 has 5 teacher logits, 5 student logits, 2 labels; each needs one row",
        ),
        (lambda batch: (batch[0], batch[0][1:], None), r"batch 0 has 5 teacher logits, 4 student logits; each needs one row"),
    ],
)
def test_an_unpack_that_is_wrong(unpack, words):
    with pytest.raises(InputError, match=words):
        Pair.from_models(Net(), Net(), BATCHES, unpack=unpack)


def test_batches_of_three_are_refused():
    with pytest.raises(InputError, match=r"a batch of the loader is a list of 0: 12×4 float32, 1: .*, 2: .*; pass unpack="):
        Pair.from_models(Net(), Net(), [[X, X, Y]])


# Outputs


@pytest.mark.parametrize(
    ("after", "where"),
    [
        (lambda out: {"logits": out, "other": out + 1}, None),
        (lambda out: (out,), None),
        (lambda out: {"scores": out}, None),
        (lambda out: (out + 1, out), 1),
        (lambda out: [out, [out]], 0),
        (lambda out: {"a": out + 1, "b": out}, "b"),
        (lambda out: Features(out + 1, out), "b"),
        (lambda out: (out + 1, {"y": out}), lambda output: output[1]["y"]),
    ],
)
def test_logits_are_found_in_outputs(after, where):
    teacher, student = Net(after=after), Net()
    pair = Pair.from_models(teacher, student, BATCHES, logits=(where, None))
    close(pair.logits_teacher, by_hand(teacher.out, by_hand(teacher.body, X)))
    assert pair.head_weight is not None


def test_two_heads_averaged():
    class Two(Net):
        def __init__(self):
            super().__init__()
            self.second = nn.Linear(5, 3)

        def forward(self, x):
            z = self.body(x)
            return self.out(z), self.second(z)

    def average(output):
        return (output[0] + output[1]) / 2

    model = Two()
    with pytest.raises(
        InputError, match=r"the teacher returns a tuple of 0: 5×3 float32, 1: 5×3 float32; expected .*logits=… says"
    ):
        Pair.from_models(model, model, BATCHES)
    pair = Pair.from_models(model, model, BATCHES, None, None, logits=average, teacher_features="body", student_features="body")
    close(pair.logits_teacher, average(by_hand(model, X)))
    close(pair.features_teacher, by_hand(model.body, X))
    assert pair.head_weight is None


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        ("score", r"returns a dict of 'a': 5×3 float32, 'b': a?.*; logits='score' finds nothing there"),
        (3, "logits=3 finds nothing there"),
        (lambda output: output["c"], "logits=the function finds nothing there"),
        ("b", "the teacher returns a dict of .*; expected batch × classes logits"),
        (True, "logits is True; give a name, an index or a function"),
        (("a", "a", "a"), "logits is a tuple of 3; give one place"),
        (None, "the teacher returns a dict of 'a': 5×3 float32, 'b': list; expected"),
    ],
)
def test_logits_that_are_not_there(logits, words):
    with pytest.raises(InputError, match=words):
        Pair.from_models(Net(after=lambda out: {"a": out, "b": []}), Net(), BATCHES, logits=logits)


def test_one_logit_of_a_binary_classifier_is_two_with_zero_first():
    labels = Y % 2
    for after in (None, lambda out: out[:, 0]):
        teacher, student = Net(nn.Linear(5, 1), after=after), Net(nn.Linear(5, 1), after=after)
        pair = Pair.from_models(teacher, student, [(X, labels)], "out", "out")
        assert pair.classes == 2
        score = by_hand(teacher, X).reshape(-1)
        loss = nn.functional.binary_cross_entropy_with_logits(score, labels.float()).item()
        measured = audit(pair).measured["risk_teacher"].value
        assert measured == pytest.approx(loss, rel=1e-6)
        close(pair.apply_head(pair.features_teacher), pair.logits_teacher)


def test_one_logit_beside_two():
    teacher, student = Net(), Net(nn.Linear(5, 1))
    teacher.out = nn.Linear(5, 2)
    for first, second in ((teacher, student), (student, teacher)):
        pair = Pair.from_models(first, second, [(X, Y % 2)])
        for model, logits in ((first, pair.logits_teacher), (second, pair.logits_student)):
            made = by_hand(model, X)
            odds = made[:, 0] if made.shape[1] == 1 else made[:, 1] - made[:, 0]
            close(logits[:, 1] - logits[:, 0], odds)
        close(pair.apply_head(pair.features_teacher), pair.logits_teacher)


class Mean(nn.Module):
    """The mean of two networks' outputs, whose head nothing finds."""

    def __init__(self, outputs, after):
        super().__init__()
        self.first, self.second, self.after = Net(nn.Linear(5, outputs)), Net(nn.Linear(5, outputs)), after

    def forward(self, x):
        return (self.after(4 * self.first(x)) + self.after(4 * self.second(x))) / 2


PROBABILITIES = {
    "one sigmoid": (1, torch.sigmoid, "one column of values in"),
    "one sigmoid, one axis": (1, lambda z: torch.sigmoid(z)[:, 0], "one column of values in"),
    "one sigmoid each": (3, torch.sigmoid, "values in .0, 1. alone"),
    "softmax": (3, lambda z: torch.softmax(z, 1), "probabilities, rows"),
}


@pytest.mark.parametrize("heads", ["auto", None])
@pytest.mark.parametrize("case", PROBABILITIES)
def test_probabilities_are_no_logits_where_no_head_is_known(case, heads):
    outputs, after, words = PROBABILITIES[case]
    squashed = Mean(outputs, after)
    plain = Net(nn.Linear(5, outputs))
    y = Y % max(outputs, 2)
    for teacher, student in ((squashed, plain), (plain, squashed), (squashed, squashed)):
        sides = [side for side, model in (("teacher", teacher), ("student", student)) if model is squashed]
        with pytest.raises(InputError, match=rf"the {sides[0]} \(Mean\) puts out {words}") as caught:
            Pair.from_models(
                teacher, student, [(X, y)], *[heads if model is squashed else "out" for model in (teacher, student)]
            )
        # What the message says to pass is taken, and is right.
        advised = re.search(r"pass logits=(.*?): a true class", str(caught.value)).group(1)
        logits = eval(advised)
        pair = Pair.from_models(teacher, student, [(X, y)], None, None, logits=logits)
        made = by_hand(squashed, X).double().reshape(12, -1)
        p = torch.cat([1 - made, made], 1) if made.shape[1] == 1 else made / made.sum(1, keepdim=True)
        for side in sides:
            close(torch.softmax(torch.tensor(getattr(pair, f"logits_{side}")), 1), p)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_probabilities_of_torchscript_and_predicted_classes_are_refused():
    script = torch.jit.trace(Net(nn.Linear(5, 1), after=torch.sigmoid), X)
    with pytest.raises(InputError, match="puts out one column of values in"):
        Pair.from_models(script, Net(nn.Linear(5, 1)), [(X, Y % 2)])
    with pytest.raises(InputError, match=r"the student \(Net\) puts out one column of whole numbers, as predicted classes are"):
        Pair.from_models(Net(), Net(after=lambda z: z.argmax(1)), BATCHES)


def test_one_logit_in_the_unit_interval_is_a_logit_if_a_linear_head_makes_it():
    model = Net(nn.Linear(5, 1))
    with torch.no_grad():
        model.out.weight *= 0.01
        model.out.bias.fill_(0.5)
    pair = Pair.from_models(model, model, [(X, Y % 2)])
    assert (pair.logits_teacher >= 0).all()
    assert (pair.logits_teacher <= 1).all()


def test_inputs_without_their_batch_axis_are_no_rows_of_single_logits():
    with pytest.raises(
        InputError, match=r"the teacher \(Linear\) returns logits of one axis, 3 numbers; expected batch × classes"
    ):
        Pair.from_models(nn.Linear(4, 3), nn.Linear(4, 3), [X[0], X[1]], None, None)
    with pytest.raises(InputError, match="batch 0 has 3 teacher logits, 3 student logits, 1 labels"):
        Pair.from_models(nn.Linear(4, 3), nn.Linear(4, 3), [(X[0], Y[:1]), (X[1], Y[1:2])], None, None)


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (TensorDataset(X, Y), r"a data set \(TensorDataset\), which gives single samples; wrap it: DataLoader\("),
        (X, r"a tensor; wrap the inputs: \[\(X, Y\)\] with labels"),
        (X.numpy(), r"an array; wrap the inputs: \[\(X, Y\)\] with labels"),
        ((X, Y), r"inputs and labels, not a list of batches; wrap them: \[\(X, Y\)\]"),
        ([X, Y], "inputs and labels"),
        ([X.numpy(), Y.numpy()], "inputs and labels"),
        ({"x": X, "label": Y}, r"a mapping, not a list of batches; wrap it: \[batch\]"),
    ],
)
def test_loaders_that_are_no_batches(loader, words):
    with pytest.raises(InputError, match=f"the loader is {words}"):
        Pair.from_models(Net(), Net(), loader)


@pytest.mark.parametrize("loader", [[X, X], (X[:5], X[5:]), [[X, Y]], DataLoader(TensorDataset(X, Y), batch_size=5)])
def test_loaders_that_are_batches(loader):
    assert Pair.from_models(Net(), Net(), loader).n in (12, 24)


@pytest.mark.parametrize("key", ["label", "labels"])
@pytest.mark.parametrize("model", [Net(), nn.Sequential(nn.Flatten(), nn.Linear(4, 3))])
def test_a_network_of_one_tensor_and_a_mapping(key, model):
    batch = {"image": X, key: Y}
    with pytest.raises(InputError, match=r"does not take 'image' by name") as caught:
        Pair.from_models(model, model, [batch])
    unpack = eval(re.search(r"pass unpack=(.*)", str(caught.value)).group(1))
    np.testing.assert_array_equal(Pair.from_models(model, model, [batch], unpack=unpack).labels, Y)


@pytest.mark.parametrize(
    ("batch", "remedy"),
    [
        ((Y, X), "if labels do, unpack="),
        ((X.abs().byte(), Y), "its inputs are uint8, its weights torch.float32: unpack="),
        ((X.long(), Y), "its inputs are int64, its weights torch.float32: unpack="),
        ((X.double(), Y), "its weights are torch.float32: unpack="),
        ((X.double().numpy(), Y), "its inputs are NumPy arrays: unpack="),
        ((X.tolist(), Y), "its inputs are a list: unpack="),
        (([*X], Y), "its inputs are a list of tensors (dim=1 if each is one column): unpack="),
    ],
)
def test_a_note_says_how_inputs_become_what_the_network_takes(batch, remedy):
    model = Net()
    with pytest.raises((TypeError, RuntimeError, AttributeError)) as caught:
        Pair.from_models(model, model, [batch])
    (note,) = caught.value.__notes__
    assert remedy in note
    unpack = eval(re.search(r"unpack=(lambda batch: \(.*batch\[.\]\))", note).group(1))
    np.testing.assert_array_equal(Pair.from_models(model, model, [batch], unpack=unpack).labels, Y)


def test_labels_that_are_texts():
    names = ["cat", "dog", "owl"]
    texts = [names[y] for y in Y]
    for given in (texts, tuple(texts), np.array(texts)):
        with pytest.raises(InputError, match=r"texts \('cat', 'dog', 'owl', …\); number the classes in the order") as caught:
            Pair.from_models(Net(), Net(), [(X, given)])
        unpack = eval(re.search(r"unpack=(.*)", str(caught.value)).group(1), {"names": names, "torch": torch})
        np.testing.assert_array_equal(Pair.from_models(Net(), Net(), [(X, given)], unpack=unpack).labels, Y)


def test_an_unpack_that_cannot_be_called_or_raises():
    with pytest.raises(InputError, match="unpack is 'x'; pass a function of a batch"):
        Pair.from_models(Net(), Net(), BATCHES, unpack="x")
    with pytest.raises(TypeError) as caught:
        Pair.from_models(Net(), Net(), BATCHES, unpack=lambda batch: (batch["x"], batch["y"]))
    assert caught.value.__notes__ == [
        "raised by unpack, called with a batch of the loader: a tuple of 0: 5×4 float32, 1: 5 int64"
    ]


def test_batches_without_rows_are_left_out():
    teacher, student = Net(), Net()
    empty = (X[:0], Y[:0])
    pair, plain = (Pair.from_models(teacher, student, each) for each in ([empty, *BATCHES, empty], BATCHES))
    np.testing.assert_array_equal(pair.logits_teacher, plain.logits_teacher)
    np.testing.assert_array_equal(pair.features_student, plain.features_student)
    with pytest.raises(InputError, match="the loader gave no batch"):
        Pair.from_models(teacher, student, [empty])
    with pytest.raises(InputError, match="the loader is of type int; pass a DataLoader"):
        Pair.from_models(teacher, student, 5)


@pytest.mark.parametrize("kind", ["dropout", "noise", "state"])
def test_outputs_that_differ_from_run_to_run_are_warned_of(kind):
    class Unsteady(Net):
        step = 0

        def forward(self, x):
            self.step += 1
            features = self.body(x)
            if kind == "dropout":
                features = nn.functional.dropout(features, 0.5)
            if kind == "noise":
                features = features + 0.1 * torch.randn_like(features)
            return self.out(features + (self.step if kind == "state" else 0))

    with pytest.warns(UserWarning, match=r"the student \(Unsteady\) puts out other logits when the first batch") as caught:
        pair = Pair.from_models(Net(), Unsteady(), BATCHES)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert pair.n == 12


@pytest.mark.parametrize("kind", ["statistics", "centred", "keywords"])
def test_logits_that_depend_on_the_rest_of_the_batch_are_warned_of(kind, recwarn):
    class Together(Net):
        def forward(self, x):
            features = self.body(x)
            return self.out(features - features.mean(dim=0) if kind != "statistics" else self.norm(features))

    student = Together()
    student.norm = nn.BatchNorm1d(5, track_running_stats=False)
    batches = [{"x": x, "labels": y} for x, y in BATCHES] if kind == "keywords" else BATCHES
    Pair.from_models(Net(), student, batches)
    assert [str(each.message).split(":")[0] for each in recwarn] == [
        "the student (Together) puts out other logits for an input when other inputs of its batch are left out"
    ]


@pytest.mark.parametrize("kind", ["steady statistics", "one size of batches", "half precision", "one input a batch"])
def test_logits_that_a_batch_has_row_by_row_are_not_warned_of(kind, recwarn):
    class Sized(Net):
        def forward(self, x):
            return self.out(self.body(x).reshape(6, 5))

    student, batches = {
        "steady statistics": (nn.Sequential(body(), nn.BatchNorm1d(5), nn.Linear(5, 3)), BATCHES),
        "one size of batches": (Sized(), [(X[:6], Y[:6]), (X[6:], Y[6:])]),
        "half precision": (Net().bfloat16(), BATCHES),
        "one input a batch": (Net(), [(X[k : k + 1], Y[k : k + 1]) for k in range(12)]),
    }[kind]
    Pair.from_models(
        Net(), student, batches, unpack=lambda batch: (batch[0], batch[0].to(next(student.parameters()).dtype), batch[1])
    )
    assert not recwarn


@pytest.mark.parametrize("kind", ["tensor", "keywords", "array"])
def test_inputs_that_a_network_changes_in_place_are_those_of_the_loader_for_the_other_and_afterwards(kind, recwarn):
    class Greedy(Net):
        def forward(self, x):
            x *= 2.0
            return super().forward(torch.as_tensor(x))

    x = X.clone().numpy() if kind == "array" else X.clone()
    teacher, student = Greedy(), Greedy()
    expected = [by_hand(model, X.clone()) for model in (teacher, student)]
    pair = Pair.from_models(teacher, student, [{"x": x, "labels": Y}] if kind == "keywords" else [(x, Y)])
    close(pair.logits_teacher, expected[0])
    close(pair.logits_student, expected[1])
    assert np.array_equal(x, X)
    assert not recwarn


@pytest.mark.parametrize("head", ["auto", None])
def test_memory_that_is_used_again_for_the_next_batch_is_copied(head):
    """By a network for its outputs (as CUDA graphs do), and by a loader for its inputs and labels."""

    class Kept(Net):
        def forward(self, x):
            if not hasattr(self, "place"):
                self.place = torch.zeros(4, 3)
            return self.place.copy_(super().forward(x))

    def loader():
        x, y = torch.zeros(4, 4), torch.zeros(4, dtype=torch.int64)
        for start in (0, 4, 8):
            x.copy_(X[start : start + 4])
            y.copy_(Y[start : start + 4])
            yield x, y.numpy()

    teacher, student = Net(), Kept()
    pair = Pair.from_models(teacher, student, loader(), head, head)
    close(pair.logits_student, student.out(student.body(X)).detach())
    close(pair.logits_teacher, by_hand(teacher, X))
    assert pair.labels.tolist() == Y.tolist()


def test_dropout_that_is_off_is_not_warned_of(recwarn):
    model = nn.Sequential(body(), nn.Dropout(0.5), nn.Linear(5, 3), nn.Identity()).train()
    Pair.from_models(model, model, BATCHES)
    assert not recwarn


# Features


class Conv(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.conv, self.pool, self.fc = nn.Conv2d(1, channels, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(channels, 3)

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))


def test_features_of_any_module():
    images, model = torch.randn(6, 1, 5, 5), Conv()
    batch = [(images, torch.arange(6) % 3)]
    plain = Pair.from_models(model, model, batch)
    for place in ("pool", "fc:input", ("conv", lambda z: z.mean(dim=(2, 3))), ("pool:input", lambda z: z.mean(dim=(2, 3)))):
        pair = Pair.from_models(model, model, batch, teacher_features=place, student_features=place)
        close(pair.features_teacher, plain.features_teacher)
        exact = place in ("pool", "fc:input")
        assert (pair.head_weight is not None) or not exact
    with pytest.raises(
        InputError, match=r"teacher_features='conv:output' is 6×4×3×3 float32, not batch × features; name .*z.mean"
    ):
        Pair.from_models(model, model, batch, teacher_features="conv")
    for wrong in (3, ("pool",), ("pool", "mean")):
        with pytest.raises(InputError, match=r"teacher_features is .*; give a module's name, 'name:input', or"):
            Pair.from_models(model, model, batch, teacher_features=wrong)
    with pytest.raises(InputError, match="has no module 'pol'; did you mean 'pool'"):
        Pair.from_models(model, model, batch, teacher_features="pol")


def test_features_that_do_not_enter_the_head_have_no_head():
    pair = Pair.from_models(Net(), Net(), BATCHES, teacher_features="body.0")
    assert pair.head_weight is None
    assert pair.provenance["teacher"] == "Net, head out, features body.0:output"


def test_a_projector_of_the_student_into_the_teachers_space():
    class Projected(Net):
        def __init__(self):
            super().__init__(width=2)
            self.projector = nn.Linear(2, 5)

        def forward(self, x):
            self.projector(self.body(x))
            return super().forward(x)

    student = Projected()
    pair = Pair.from_models(Net(), student, BATCHES, student_features="projector")
    close(pair.features_student, by_hand(student.projector, by_hand(student.body, X)))
    assert audit(pair, only=["T1.head_aware"])["T1.head_aware"].applicable


# Wrappers and number formats


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda m: torch.compile(m, backend="eager"),
        lambda m: nn.DataParallel(torch.compile(m, backend="eager")),
    ],
)
@pytest.mark.parametrize("head", ["auto", "out"])
def test_wrapped_networks(wrap, head):
    teacher, student = Net(), Net()
    pair = Pair.from_models(wrap(teacher), student, BATCHES, teacher_head=head)
    check(pair, teacher, student)
    assert pair.provenance["teacher"] == "Net, head out"


@pytest.mark.parametrize("head", ["auto", "out", "out._orig_mod"])
def test_compiled_and_replicated_parts_run_as_written_and_stay(head):
    plain, student = Net(), Net()
    teacher = copy.deepcopy(plain)
    teacher.body, teacher.out = nn.DataParallel(teacher.body), torch.compile(teacher.out, backend="eager")
    parts = teacher.body, teacher.out
    pair = Pair.from_models(teacher, student, BATCHES, teacher_head=head)
    check(pair, plain, student)
    assert (teacher.body, teacher.out) == parts


def test_names_inside_a_wrapper():
    teacher = Net()
    pair = Pair.from_models(nn.DataParallel(teacher), Net(), BATCHES, teacher_head="module.out")
    close(pair.features_teacher, by_hand(teacher.body, X))


def test_a_network_compiled_in_place_runs_as_written_and_stays_compiled():
    teacher, student = Net(), Net()
    plain = copy.deepcopy(teacher)
    teacher.compile(backend="eager")
    compiled = teacher._compiled_call_impl
    check(Pair.from_models(teacher, student, BATCHES), plain, student)
    assert teacher._compiled_call_impl is compiled


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept_exactly(kind):
    teacher, student = Net().to(kind), Net()
    pair = Pair.from_models(teacher, student, BATCHES, unpack=lambda b: (b[0].to(kind), b[0], b[1]))
    for found, expected in (
        (pair.logits_teacher, by_hand(teacher, X.to(kind))),
        (pair.features_teacher, by_hand(teacher.body, X.to(kind))),
        (pair.head_weight, teacher.out.weight.detach()),
    ):
        assert (torch.tensor(found).to(kind).double().numpy() == found).all()
        np.testing.assert_allclose(found, expected.double(), rtol=0.02, atol=0.02)  # batches of other sizes round otherwise
    assert pair.provenance["precision"] == f"teacher {str(kind).removeprefix('torch.')}"
    assert audit(pair).violations == ()
    with pytest.raises(RuntimeError) as caught:
        Pair.from_models(teacher, student, BATCHES)
    assert f"batch[0].to({kind})" in caught.value.__notes__[0]


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions:UserWarning")
def test_quantised_networks():
    student = torch.ao.quantization.quantize_dynamic(Net().eval(), {nn.Linear}, dtype=torch.qint8)
    teacher = Net()
    pair = Pair.from_models(teacher, student, BATCHES)
    assert pair.features_student.shape == (12, 5)
    close(pair.head_weight, teacher.out.weight.detach())
    assert audit(pair, only=["T1.head_aware"])["T1.head_aware"].holds
    turned = Pair.from_models(student, teacher, BATCHES)
    assert turned.head_weight is None
    assert turned.provenance["shared_head"].startswith("none")
    with pytest.raises(InputError, match=r"quantised layers, which PyTorch runs on the CPU alone|device 'cuda' cannot be used"):
        Pair.from_models(teacher, student, BATCHES, device="cuda")


# Left as found


class Restless(Net):
    """Changes itself in every forward pass, and fails when it is told to."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(1))
        self.seen, self.table, self.plain = [], {}, torch.zeros(2)
        self.fails = False

    def forward(self, x):
        self.steps += 1
        self.plain += 1
        self.seen.append(len(x))
        self.table[len(x)] = x
        self.cache = torch.rand(3)
        self.body[0].also = x
        if self.fails and self.steps > 1:
            raise RuntimeError("out of luck")
        return super().forward(x)


@pytest.mark.parametrize("fails", [False, True])
def test_models_are_left_as_found(fails):
    model, student = Restless().train(), Net()
    model.body.eval()
    model.fails = fails
    called = []
    model.out.register_forward_hook(lambda *_: called.append(1))
    hooks = [dict(module._forward_hooks) for module in model.modules()]
    names = [set(vars(module)) for module in model.modules()]
    random = torch.get_rng_state()
    loader = DataLoader(TensorDataset(X, Y), batch_size=5, shuffle=True)
    if fails:
        with pytest.raises(RuntimeError, match="out of luck") as caught:
            Pair.from_models(model, student, loader)
        assert caught.value.__notes__ == ["raised by the teacher (Restless) when called with 5×4 float32"]
    else:
        assert Pair.from_models(model, model, loader).n == 12
    assert torch.equal(torch.get_rng_state(), random)
    assert called
    assert model.training
    assert not any(module.training for module in model.body.modules())
    assert (model.steps.item(), model.seen, model.table, model.plain.tolist()) == (0, [], {}, [0, 0])
    assert [set(vars(module)) for module in model.modules()] == names
    assert [dict(module._forward_hooks) for module in model.modules()] == hooks


def test_a_network_that_cannot_be_moved_is_not_moved():
    class Fixed(Net):
        """As networks of 4-bit weights."""

        def to(self, *_args, **_named):
            raise ValueError("`.to` is not supported for 4-bit models")

    assert Pair.from_models(Fixed(), Fixed(), BATCHES, device="cpu").n == 12


def test_lazy_layers_keep_the_shape_that_they_were_given():
    model = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(3))
    assert Pair.from_models(model, model, BATCHES).head_weight.shape == (3, 5)
    model.train()
    model(X).sum().backward()
    assert model[0].weight.grad is not None
