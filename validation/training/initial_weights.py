"""Weights that a network begins with: a state dict from a local file, without the head.

A file is a .safetensors, or what `torch.save(network.state_dict(), FILE)` wrote, such as the files of torchvision; it is read
as data (`weights_only`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.files import opened

_HEAD = "fc."
_SHOWN = 3
_LINE = 200  # characters of an error of torch
# Counts batches for an average that no network here uses; files of old versions of torch lack it.
_COUNTER = "num_batches_tracked"


def read_initial_weights(path: str, network: nn.Module, name: str) -> None:
    """Load everything but the head `fc`, which stays as it is: its classes are other ones.

    Args:
        path: of the file.
        network: that takes the weights.
        name: of the network, for messages.

    Raises:
        InputError: no such file, no state dict, or one of another network; the message names the first tensors that differ.
    """
    state = {key: value for key, value in _read(path).items() if not key.startswith(_HEAD)}
    expected = {key: value for key, value in network.state_dict().items() if not key.startswith(_HEAD)}
    state |= {key: value for key, value in expected.items() if key.endswith(_COUNTER) and key not in state}
    shapes = [{key: tuple(value.shape) for key, value in each.items()} for each in (state, expected)]
    if shapes[0] != shapes[1]:
        different = [key for key in dict.fromkeys((*expected, *state)) if shapes[0].get(key) != shapes[1].get(key)]
        words = [f"{key} is {shapes[0].get(key, 'missing')}, not {shapes[1].get(key, 'there')}" for key in different[:_SHOWN]]
        more = f", and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise InputError(f"{path} does not fit {name}: {'; '.join(words)}{more}; give a file of this network and these images")
    network.load_state_dict(state, strict=False)


def _read(path: str) -> Mapping[str, Tensor]:
    complaint = f"{path} holds no state dict of a network"
    with opened(path, complaint) as file:
        try:
            read: Any = load(file.read()) if path.endswith(".safetensors") else torch.load(file, "cpu", weights_only=True)
        except SafetensorError as error:
            raise InputError(f"{complaint} ({error})") from None
        except Exception as error:  # torch.load raises many kinds for a file that it does not like
            reason = " ".join(str(error).split())[:_LINE]
            raise InputError(f"{complaint} ({reason}); write it with torch.save(network.state_dict(), …)") from None
    if not isinstance(read, Mapping):
        raise InputError(f"{complaint} (it is a {type(read).__name__}); save network.state_dict() alone")
    if not all(isinstance(value, Tensor) for value in read.values()):
        raise InputError(f"{complaint} (it has {', '.join(map(str, list(read)[:_SHOWN]))}); save network.state_dict() alone")
    return read
