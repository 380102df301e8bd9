"""Networks of a user's own."""

import math

from torch import nn

from kd2m_theory.validation.training.classifier import Classifier, Encoding


class WithDropout(Classifier):
    def __init__(self, classes, image_shape):
        super().__init__(8, classes)
        inputs = math.prod(image_shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))

    def encode(self, images):
        return Encoding(self.encoder(images))


with_dropout = WithDropout
