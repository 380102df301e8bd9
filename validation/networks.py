"""The networks of the demonstration: an encoder to 64 features, and a linear head `fc`."""

from torch import Tensor, nn

FEATURES = 64


class Classifier(nn.Module):
    """logits = fc(encoder(x)): features are what enters `fc`."""

    def __init__(self, encoder: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.encoder = encoder
        self.fc = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits, batch × classes."""
        logits: Tensor = self.fc(self.encoder(images))
        return logits


def teacher(classes: int) -> Classifier:
    """Three convolutions with batch normalisation for 8 × 8 images; about 70,000 parameters."""
    encoder = nn.Sequential(
        *_convolution(1, 32),
        *_convolution(32, 64),
        nn.MaxPool2d(2),
        *_convolution(64, 64),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, FEATURES),
        nn.ReLU(),
    )
    return Classifier(encoder, nn.Linear(FEATURES, classes))


def student(classes: int) -> Classifier:
    """One strided convolution of four channels and a linear layer for 8 × 8 images; about 5,000 parameters."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, FEATURES), nn.ReLU()
    )
    return Classifier(encoder, nn.Linear(FEATURES, classes))


def parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
