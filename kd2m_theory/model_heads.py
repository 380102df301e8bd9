"""What enters and leaves the head of a network, and the linear map that the head is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.hooks import RemovableHandle

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError
from kd2m_theory.model_inputs import arguments, described, unnamed

AUTO = "auto"
ON_REQUEST = "on request"
# The module, or the module and what makes batch × features of the tensor there.
Place = str | tuple[str, Callable[[Any], torch.Tensor]]
# Where in a network's output the logits are.
Where = str | int | Callable[[Any], torch.Tensor]
# A head's output and the network's differ by rounding; more means another layer.
_SAME_OUTPUT = 1e-3
# A float32 head replayed in float64 differs by rounding (TF32 and half precision included), relative to the terms of its sums.
_REPLAY = 5e-3

# What a network puts out instead of logits, by the function that made it.
SQUASHED = {
    "softmax": "probabilities, rows ≥ 0 that sum to 1, as a softmax makes them",
    "sigmoid": "one column of values in [0, 1], as a sigmoid makes them",
    "sigmoids": "values in [0, 1] alone, as a sigmoid makes them",
}


def advice(kind: str, role: str | None) -> str:
    """How to pass logits instead of probabilities.

    Args:
        kind: a key of `SQUASHED`.
        role: the network that puts them out, "teacher" or "student"; None for both.
    """
    back = "p.cpu().double().logit(eps=2**-52)" if kind == "sigmoid" else "p.float().clamp(min=2**-52).log()"
    place = {None: "{}", "teacher": "({}, None)", "student": "(None, {})"}[role].format(f"lambda p: {back}")
    unlike = "both columns [0, z], torch.cat([0 * z, z], 1) of n × 1" if kind == "sigmoid" else "z - 1 of values z"
    return (
        f"return the logits themselves, without softmax or sigmoid, or pass logits={place}: a true class of probability zero "
        "then costs 36 nats, as in Pair.from_predictions, which takes probabilities of both networks. "
        f"If they are logits, return {unlike}"
    )


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside `DataParallel`, `DistributedDataParallel` and what `torch.compile` returns."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


@dataclass(frozen=True)
class Affine:
    """logits = W z + b, where z is what enters the head, or that divided by its norm.

    Attributes:
        weight: K × d.
        bias: K, or None.
        directions: whether z has norm 1 (a cosine head).
        words: what kind of head it is, where it is not a plain `nn.Linear`.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    directions: bool = False
    words: str = ""

    def features(self, entered: torch.Tensor) -> torch.Tensor:
        """n × d of what the linear map is applied to."""
        return normalize(entered.double()) if self.directions else entered


@dataclass
class _Call:
    """One run of a module: copies, since the network may go on to change them in place."""

    site: str
    entered: Any
    made: Any


class Probe:
    """One network, with hooks that keep what enters and leaves its head.

    Args:
        model: the network, in a wrapper or not.
        role: "teacher" or "student".
        head: dotted name of the head; "auto" finds it; None for no head.
        features: a module other than the head whose output or input the features are.
        where: where the logits are in the network's output; None where that is plain.

    Attributes:
        name: of the head, once it is known; None where there is none.
        map: the head as a linear map, as soon as a batch has shown it; None for one that is not linear.
        apart: whether the features that were asked for are not what enters the head.
        chosen: the head that was found, in words; empty if it was named.
        flat: whether the logits of the last batch had one axis.
        coarse: the number format of logits or features, if it is coarser than float32.
        loose: inputs that `forward` took by its **kwargs alone.
        why: why there are no features, in words; empty if there are.
    """

    def __init__(self, model: nn.Module, role: str, head: str | None, features: Place | None, where: Where | None) -> None:
        self.model, self.role, self.where, self.why = unwrapped(model), role, where, ""
        if not isinstance(self.model, nn.Module):
            raise InputError(
                f"the {role} is a {type(model).__name__}; from_models takes torch modules, Pair the arrays of others"
            )
        if isinstance(where, bool) or not (where is None or isinstance(where, str | int) or callable(where)):
            raise InputError(f"logits is {where!r}; give a name, an index or a function of the output, or a pair of them")
        self.modules: dict[str, nn.Module] = {
            name: unwrapped(module)
            for whole in (model, self.model)
            for name, module in whole.named_modules(remove_duplicate=False)
        }
        self.calls: list[_Call] = []
        self.taken: list[Any] = []
        self.loose: dict[str, None] = {}
        self.handles: list[RemovableHandle] = []
        self.name, self.searching = head, head == AUTO
        self.map: Affine | None = None
        self.mapped = False
        self.coarse = self.chosen = ""
        self.flat = False
        self.apart = False
        self.take: Callable[[Any], Any] | None = None
        self.spot = self.side = None
        if features is not None:
            match features:
                case str(place):
                    pass
                case (str(place), take) if callable(take):
                    self.take = take
                case _:
                    raise InputError(
                        f"{role}_features is {features!r}; give a module's name, 'name:input', or (name, function) to pool it"
                    )
            self.spot, self.side = self._spot(place)
        if head is not None and not self.searching:
            self.name = self._head(head)
        elif head is None and features is None:
            self.why = ON_REQUEST

    @property
    def title(self) -> str:
        """The network in words."""
        return f"the {self.role} ({type(self.model).__name__})"

    def _module(self, name: str, advised: bool) -> nn.Module:
        if name in self.modules:
            return self.modules[name]
        linear = [known for known, module in self.modules.items() if isinstance(module, nn.Linear)]
        advice = did_you_mean(name, self.modules).strip()
        if not advice:
            advice = f"did you mean {linear[-1]!r}?" if linear and advised else "see named_modules()"
        if not linear and advised:
            advice = "this model has no nn.Linear; pass None for logits only"
        raise InputError(f"{self.title} has no module {name!r}; {advice}")

    def _spot(self, place: str) -> tuple[str, str]:
        name, _, side = place.rpartition(":")
        if side not in ("input", "output") or place in self.modules:
            name, side = place, "output"
        self._module(name, advised=False)
        return name, side

    def _head(self, name: str) -> str:
        """The name of the linear layer, where the head named is one between layers that do nothing in evaluation mode."""
        module = self._module(name, advised=True)
        if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
            real = [(key, child) for key, child in module.named_children() if not isinstance(child, nn.Dropout | nn.Identity)]
            if len(real) == 1 and isinstance(real[0][1], nn.Linear | nn.Sequential):
                return self._head(f"{name}.{real[0][0]}" if name else real[0][0])
        return name

    def attach(self) -> None:
        """Register the hooks: on the place of the features, and on the head, or on all modules that may be it."""
        if self.spot is not None:
            self.handles.append(self.modules[self.spot].register_forward_hook(self._keep_features, with_kwargs=True))
        sites: dict[int, str] = {}
        if self.searching:
            for name in sorted(self.modules, key=len):  # the network's own name, not a wrapper's
                if _may_be_head(self.modules[name]) and (name or isinstance(self.model, nn.Linear)):
                    sites.setdefault(id(self.modules[name]), name)
        elif self.name is not None:
            sites[0] = self.name
        for site in sites.values():
            self.handles.append(self.modules[site].register_forward_hook(self._keep_call(site), with_kwargs=True))

    def detach(self) -> None:
        """Remove them."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def _keep_call(self, site: str) -> Callable[..., None]:
        def hook(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            entered = _first(given, named)
            if not self.searching or (_matrix(entered) and _matrix(output)):
                self.calls.append(_Call(site, _copied(entered), _copied(output)))

        return hook

    def _keep_features(self, _module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        found = _first(given, named) if self.side == "input" else output
        self.taken.append(_copied(found if self.take is None else self.take(found)))

    def run(self, inputs: Any, labels: str = "None") -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits and what enters the head (or the features that were asked for) of one batch, on the CPU, exact in float32.

        Args:
            inputs: of the network.
            labels: where a batch has its labels, as Python, for messages.

        Raises:
            InputError: the network cannot take the inputs, returns no logits, or its head does not make them.
        """
        self.calls.clear()
        self.taken.clear()
        given, named = arguments(self.model, self.role, inputs)
        self.loose |= dict.fromkeys(unnamed(self.model, named))
        try:
            output = self.model(*given, **named)
        except Exception as error:
            self._annotate(error, given, named)
            if given and isinstance(given[0], Mapping) and isinstance(error, TypeError | AttributeError | LookupError):
                listed, first = ", ".join(map(repr, given[0])), next(iter(given[0]), "inputs")
                said = " ".join(str(error).split())
                raise InputError(
                    f"{self.title} does not take {listed} by name, was called with the whole mapping, and raised "
                    f"{type(error).__name__}: {said}; if it takes a tensor, pass "
                    f"unpack=lambda batch: (batch[{first!r}], {labels})"
                ) from error
            raise
        logits = self._exact(self._logits(output)).clone()  # a network may write its next output into the same memory
        if not len(logits):
            return logits, None
        if self.searching:
            self._found(logits)
        entered = None
        if self.name is not None:
            entered, logits = self._entered(self.name, logits)
        if self.spot is not None:
            features = self._features()
            self.apart = self.apart or entered is None or not _same_numbers(entered, features)
            return logits, features
        return logits, entered

    def _annotate(self, error: Exception, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        parts = [*map(described, given), *(f"{name} {described(value)}" for name, value in named.items())]
        note = f"raised by {self.title} when called with {', '.join(parts) or 'nothing'}"
        if remedy := self._remedy([*given, *named.values()]):
            note += f"; {remedy}"
        error.add_note(note)

    def _remedy(self, values: list[Any]) -> str:
        """How the loader's batches become inputs in another order or format, if the network failed on theirs for that."""
        weights = {p.dtype for p in self.model.parameters() if p.is_floating_point()}
        value = next((value for value in values if not isinstance(value, torch.Tensor) or value.dtype not in weights), None)
        if len(weights) != 1 or value is None:
            return ""
        kind = str(next(iter(weights)))
        if isinstance(value, np.ndarray):
            what, made = "its inputs are NumPy arrays", "torch.as_tensor(batch[0])"
        elif isinstance(value, list) and value and all(isinstance(entry, torch.Tensor) for entry in value):
            what, made = "its inputs are a list of tensors (dim=1 if each is one column)", "torch.stack(batch[0], dim=0)"
        elif isinstance(value, list):
            what, made = "its inputs are a list", "torch.tensor(batch[0])"
        elif not isinstance(value, torch.Tensor):
            return ""
        elif not value.is_floating_point() and value.ndim < 2 and len(values) == 1:
            return "inputs stand first in a batch; if labels do, unpack=lambda batch: (batch[1], batch[0]) turns them round"
        elif value.is_floating_point():
            what, made = f"its weights are {kind}", "batch[0]"
        else:
            what, made = f"its inputs are {str(value.dtype).removeprefix('torch.')}, its weights {kind}", "batch[0]"
        if not any(isinstance(module, nn.Embedding | nn.EmbeddingBag) for module in self.model.modules()):
            made += f".to({kind})"
        elif made == "batch[0]":
            return ""
        return f"{what}: unpack=lambda batch: ({made}, batch[1]) gives it such inputs"

    def _logits(self, output: Any) -> torch.Tensor:
        logits = self._taken(output)
        if not isinstance(logits, torch.Tensor):
            raise InputError(
                f"the {self.role} returns {described(output)}; expected batch × classes logits: logits=… says where they are "
                "(a name, an index, or a function of the output)"
            )
        if logits.ndim > 2:
            raise InputError(
                f"the {self.role} returns logits of shape {tuple(logits.shape)}; expected batch × classes. Where each input "
                "has many positions (tokens, pixels), collect both networks' logits and pass "
                "Pair.from_tokens(teacher_logits, student_logits, labels, mask=…), with classes on the last axis "
                "(logits.movedim(1, -1) for n × K × height × width): positions of one input are a group. Flattened rows "
                "without groups make intervals too narrow"
            )
        self.flat = logits.ndim < 2
        return logits.reshape(-1, 1) if self.flat else logits

    def _taken(self, output: Any) -> Any:
        where = self.where
        try:
            if callable(where):
                return where(output)
            if isinstance(where, str):
                return output[where] if isinstance(output, Mapping) and where in output else getattr(output, where)
            if where is not None:
                return output[where]
        except (AttributeError, LookupError, TypeError) as error:
            wanted = "the function" if callable(where) else repr(where)
            raise InputError(
                f"the {self.role} returns {described(output)}; logits={wanted} finds nothing there: {error}"
            ) from None
        if isinstance(output, torch.Tensor):
            return output
        if isinstance(output, Mapping) and "logits" in output:
            return output["logits"]
        if (named := getattr(output, "logits", None)) is not None:
            return named
        entries = list(output.values()) if isinstance(output, Mapping) else output
        return entries[0] if isinstance(entries, tuple | list) and len(entries) == 1 else None

    def _found(self, logits: torch.Tensor) -> None:
        """Choose the head: of the modules whose output is the logits the last linear map, or the last if none is linear.

        Raises:
            InputError: the logits are probabilities, which a softmax or sigmoid makes of one.
        """
        self.detach()
        self.searching = False
        heads = [call for call in self.calls if call.made.shape == logits.shape][::-1]
        same = [call for call in heads if _same_numbers(at_least_single(call.made), logits)]
        same = same or [call for call in heads if _is_log_softmax(logits, at_least_single(call.made))]
        linear = (call for call in same if affine_map(self.modules[call.site], call.entered, call.made) is not None)
        head = next(linear, same[0] if same else None)
        self.name = None if head is None else head.site
        self.calls = [] if head is None else [head]
        if head is not None:
            kind = type(self.modules[head.site]).__name__
            self.chosen = f"{head.site!r} ({kind}, {head.entered.shape[1]} → {head.made.shape[1]})"
        elif isinstance(self.model, torch.jit.ScriptModule):
            self.why = "hooks do not see inside TorchScript; pass the module that was scripted"
        else:
            self.why = "no nn.Linear of it puts out the logits; something comes behind the last one, or there is none"
            for call in heads:
                if factor := _factor(logits, at_least_single(call.made)):
                    self.why = (
                        f"its logits are {factor:.6g} times what {call.site!r} puts out; scale its weight and bias instead"
                    )
                if kind := _squashed(logits, at_least_single(call.made)):
                    raise InputError(
                        f"the {self.role} puts out probabilities, the {kind} of {call.site!r}; "
                        f"{advice('sigmoids' if kind == 'sigmoid' and logits.shape[1] > 1 else kind, self.role)}"
                    )
        self.attach()

    def _entered(self, name: str, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the head was applied to, and the logits that it made of it: those in front of a log_softmax, if there is one."""
        calls = list(self.calls)
        if len(calls) != 1:
            raise InputError(
                f"the {self.role}'s head {name!r} ran {len(calls)} times in one forward pass; "
                "a classifier runs once: name that layer"
            )
        entered, made = calls[0].entered, calls[0].made
        if not _matrix(entered):
            found = f"shape {tuple(entered.shape)}" if isinstance(entered, torch.Tensor) else described(entered)
            raise InputError(
                f"what enters the {self.role}'s head {name!r} has {found}, not batch × features; pool or flatten before "
                f"the head, or pass {self.role}_features=({f'{name}:input'!r}, function) with one that does"
            )
        if not isinstance(made, torch.Tensor):
            raise InputError(
                f"the {self.role}'s head {name!r} returns {described(made)}, not the logits; name the layer inside"
            )
        made = at_least_single(made)
        if made.shape == logits.shape and not torch.equal(made, logits) and _is_log_softmax(logits, made):
            logits = made
        off = (made.double() - logits.double()).abs().max().item() if made.shape == logits.shape else float("inf")
        if not off <= _SAME_OUTPUT * max(1.0, made.double().abs().max().item()) and not made.isnan().any():
            raise InputError(
                f"the {self.role}'s output is not what its head {name!r} makes (they differ by {off:.3g}); "
                f"return the logits themselves, without softmax or scaling, or pass {self.role}_head=None and "
                f"{self.role}_features={f'{name}:input'!r} for features without a head"
            )
        if not self.mapped:
            self.mapped = True
            self.detach()
            self.map = affine_map(self.modules[name], calls[0].entered, calls[0].made)
            self.attach()
        entered = self._exact(entered)
        return (entered if self.map is None else self.map.features(entered)), logits

    def _features(self) -> torch.Tensor:
        asked = f"{self.role}_features={f'{self.spot}:{self.side}'!r}"
        if len(self.taken) != 1:
            raise InputError(f"{asked}: that module ran {len(self.taken)} times in one forward pass; name one that runs once")
        found = self.taken[0]
        if isinstance(found, torch.Tensor) and found.ndim > 2 and found.shape[2:].numel() == 1:
            found = found.flatten(1)
        if not _matrix(found):
            raise InputError(
                f"{asked} is {described(found)}, not batch × features; name the layer behind the pooling, or pass "
                f"({f'{self.spot}:{self.side}'!r}, function) with a function that pools, as lambda z: z.mean(dim=(2, 3))"
            )
        return self._exact(found)

    def _exact(self, values: torch.Tensor) -> torch.Tensor:
        exact = at_least_single(values)
        if exact.dtype != values.dtype:
            self.coarse = str(values.dtype).removeprefix("torch.")
        return exact

    def take_wrappers_off(self) -> None:
        """Run compiled and replicated parts as they were written: hooks see inside, and only rounding differs.

        This changes the network; `model_state.as_found` changes it back.
        """
        for module in list(self.model.modules()):
            for name, child in module._modules.items():
                if child is not None:
                    module._modules[name] = unwrapped(child)
            if vars(module).get("_compiled_call_impl") is not None:
                vars(module)["_compiled_call_impl"] = None

    @property
    def nonlinear(self) -> nn.Module | None:
        """The head, if features enter it and it is not linear."""
        return None if self.name is None or self.map is not None or self.apart else self.modules[self.name]

    def head(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Weight (K × d) and bias of the head on these features; None where there is no such linear map.

        To be read in evaluation mode and without gradients: a parametrised weight (spectral norm) changes when it is read in
        training mode.
        """
        return (None, None) if self.map is None or self.apart else (self.map.weight, self.map.bias)

    def words(self) -> str:
        """The network, its head and its features, for the provenance."""
        kind = f" ({self.map.words})" if self.map is not None and self.map.words else ""
        place = "" if self.spot is None else f", features {self.spot}:{self.side}"
        return f"{type(self.model).__name__}, head {'itself' if self.name == '' else self.name}{kind}{place}"


def at_least_single(values: torch.Tensor) -> torch.Tensor:
    """On the CPU, before any float64, which not every device has; a format coarser than float32 becomes float32, exactly."""
    values = values.detach().cpu()
    return values.float() if values.is_floating_point() and values.element_size() < 4 else values


def affine_map(module: nn.Module, entered: torch.Tensor, made: torch.Tensor) -> Affine | None:
    """The head as a linear map, if it is one on this batch: a linear layer, an adapter around one (LoRA), or a cosine head.

    Args:
        module: the head, in evaluation mode.
        entered: n × d that entered it.
        made: n × K that it made of them.
    """
    z, a = at_least_single(entered).double(), at_least_single(made).double()
    if isinstance(module, nn.Linear):
        weight, bias = _weight_and_bias(module)
        if type(module).forward is nn.Linear.forward or _replays(weight, bias, z, a):
            return Affine(weight, bias)
    if _wraps_linear(module):
        # Whatever the adapter, a linear map is known by what it makes of zero and of the unit vectors.
        d = entered.shape[1]
        points = torch.cat([entered.new_zeros(1, d), torch.eye(d, dtype=entered.dtype, device=entered.device)])
        images = at_least_single(module.forward(points)).double()  # without the hooks of others
        weight, bias = (images[1:] - images[0]).T.contiguous(), images[0]
        if _replays(weight, bias, z, a):
            return Affine(weight, bias, words=f"{type(module).__name__} around nn.Linear")
    own = getattr(module, "weight", None)
    if isinstance(own, torch.Tensor) and own.shape == (made.shape[1], entered.shape[1]):
        rows = normalize(at_least_single(own).double())
        cosines = normalize(z) @ rows.T
        scale = ((cosines * a).sum() / (cosines * cosines).sum()).item()
        if (scale * cosines - a).abs().max() <= max(1e-4, 4 * torch.finfo(made.dtype).eps) * abs(scale):
            return Affine(scale * rows, None, directions=True, words=f"cosine of scale {scale:.6g}")
    return None


def _replays(weight: torch.Tensor, bias: torch.Tensor | None, z: torch.Tensor, a: torch.Tensor) -> bool:
    weight, offset = weight.double(), torch.zeros(len(weight)).double() if bias is None else bias.double()
    if weight.shape != (a.shape[1], z.shape[1]):
        return False
    terms = (z.abs() @ weight.abs().T + offset.abs()).amax(dim=1).clamp(min=1.0)
    return bool(((z @ weight.T + offset - a).abs().amax(dim=1) <= _REPLAY * terms).all())


def _weight_and_bias(module: nn.Linear) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Copies, on the CPU."""
    return at_least_single(module.weight).clone(), None if module.bias is None else at_least_single(module.bias).clone()


def _wraps_linear(module: nn.Module) -> bool:
    """Whether it is an adapter around a linear layer, or holds a trained copy of one, by the names that peft gives them."""
    return any(isinstance(module._modules.get(name), nn.Linear) for name in ("base_layer", "original_module"))


def _is_quantised(module: nn.Module) -> bool:
    return type(module).__module__.startswith(("torch.ao.nn.quantized", "torchao."))


def quantised(model: nn.Module) -> bool:
    """Whether the network has layers of 8-bit integers, which PyTorch runs on the CPU alone."""
    return any(type(module).__module__.startswith("torch.ao.nn.quantized") for module in unwrapped(model).modules())


def _may_be_head(module: nn.Module) -> bool:
    if isinstance(module, torch.jit.ScriptModule):
        return False
    if isinstance(module, nn.Linear) or _is_quantised(module) or _wraps_linear(module):
        return True
    weight = module._parameters.get("weight")
    return is_parametrized(module, "weight") or (weight is not None and not is_lazy(weight) and weight.ndim == 2)


def _first(given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    return given[0] if given else next(iter(named.values()), None)


def _matrix(value: Any) -> TypeGuard[torch.Tensor]:
    return isinstance(value, torch.Tensor) and value.ndim == 2


def _same_numbers(made: torch.Tensor, logits: torch.Tensor) -> bool:
    return made.shape == logits.shape and torch.equal(made.double(), logits.double())


def _is_log_softmax(logits: torch.Tensor, made: torch.Tensor) -> bool:
    """Whether the logits are log-probabilities of `made`, of which cross-entropy is the same."""
    return _near(logits, made.double().log_softmax(dim=1)) and not _near(logits, made)


def _squashed(logits: torch.Tensor, made: torch.Tensor) -> str:
    """The function that made probabilities of a head's output, if one did."""
    made = made.double()
    made_by = {"sigmoid": made.sigmoid()} | ({"softmax": made.softmax(dim=1)} if made.shape[1] > 1 else {})
    return next((name for name, values in made_by.items() if _near(logits, values)), "")


def _factor(logits: torch.Tensor, made: torch.Tensor) -> float:
    """The number that a head's output was multiplied with; 0 if it is not that."""
    made, logits = made.double(), logits.double()
    factor = ((made * logits).sum() / (made * made).sum()).item()
    return factor if (factor * made - logits).abs().max() <= 1e-4 * logits.abs().max() else 0.0


def _near(values: torch.Tensor, others: torch.Tensor) -> bool:
    return bool(((values.double() - others.double()).abs() <= 1e-4 * others.double().abs().clamp(min=1.0)).all())


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
