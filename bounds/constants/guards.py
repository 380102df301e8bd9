"""Layers that may compute something else than their class says are refused: a rule knows the class, and nothing else."""

from collections.abc import Iterable
from types import FunctionType

from torch import nn
from torch.nn.modules import module as torch_module

from kd2m_theory.errors import InputError

# Methods that a class may define by itself without changing its map.
_HARMLESS = frozenset({
    "__init__", "__getstate__", "__setstate__", "__deepcopy__", "__repr__", "__annotate__", "__annotate_func__", "extra_repr",
    "reset_parameters", "train", "state_dict", "load_state_dict", "_save_to_state_dict", "_load_from_state_dict",
})  # fmt: skip
# What a module's layers are reached by, beside its methods.
_REACHED_BY = ("__getattribute__", "__class__", "_modules", "_parameters", "_buffers")
# Methods of torch's classes that run between a call and its result.
_RUN = ("__call__", "_wrapped_call_impl", "_call_impl", "__getattr__", "__iter__", "forward", "_conv_forward")
# Hooks of torch.nn.utils that compute a weight again at each call, and what removes them.
_REMOVERS = {
    "WeightNorm": "it uses torch.nn.utils.weight_norm, which computes the weight in a hook; call remove_weight_norm, or use "
    "torch.nn.utils.parametrizations.weight_norm",
    "SpectralNorm": "it uses torch.nn.utils.spectral_norm, which computes the weight in a hook; call remove_spectral_norm, or "
    "use torch.nn.utils.parametrizations.spectral_norm",
    "BasePruningMethod": "it is pruned by a hook; call torch.nn.utils.prune.remove",
}


def refuse_global_hooks() -> None:
    """Refuse forward hooks that torch runs around every module.

    Raises:
        InputError: there are some.
    """
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        raise InputError(
            "torch has global forward hooks (register_module_forward_hook), which may change every layer's map; remove them"
        )


def refuse_bypass(module: nn.Module, name: str) -> None:
    """Refuse a module with forward hooks, with methods of its own beside those of its class, or of a class that was patched.

    Raises:
        InputError: by the module's name.
    """
    where = f"layer {name!r} ({type(module).__name__})"
    _refuse_patched(type(module), where)
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    for hook in hooks:
        for parent in type(hook).__mro__:
            if parent.__name__ in _REMOVERS:
                raise InputError(f"{where}: {_REMOVERS[parent.__name__]}")
    if hooks:
        raise InputError(f"{where} has forward hooks, which may change its map; remove them")
    if "_orig_mod" in module._modules:
        raise InputError(f"{where} was made by torch.compile; pass the network that was compiled (_orig_mod)")
    if module._compiled_call_impl is not None:
        raise InputError(f"{where} was compiled in place; pass copy.deepcopy(module), which is not compiled")
    refuse_replaced(replaced_methods(vars(module), type(module)), type(module), where)


def _refuse_patched(kind: type, where: str) -> None:
    """Refuse a class of torch, or one with such a base, one of whose methods was written elsewhere.

    Raises:
        InputError: with the first of the methods.
    """
    for parent in kind.__mro__:
        for method in _RUN:
            found = vars(parent).get(method) if parent.__module__.split(".")[0] == "torch" else None
            if isinstance(found, FunctionType) and str(found.__globals__.get("__name__")).split(".")[0] != "torch":
                raise InputError(
                    f"{where}: {parent.__name__}.{method} of torch was replaced by one of "
                    f"{found.__globals__.get('__name__')}, and may compute something else; undo that"
                )


def refuse_other_class(kind: type[nn.Module], known: type[nn.Module], name: str) -> None:
    """Refuse a class if it or a base that the known class does not have replaces a method of the known class.

    Raises:
        InputError: by the module's name.
    """
    for parent in kind.__mro__:
        if parent in known.__mro__:
            continue
        found = replaced_methods(vars(parent), known) + [key for key in vars(parent) if key in _REACHED_BY]
        refuse_replaced(found, known, f"layer {name!r} ({kind.__name__})")


def replaced_methods(names: Iterable[str], kind: type) -> list[str]:
    """Those of the names that stand for a method of the class on which its map may depend."""
    return [name for name in names if name not in _HARMLESS and callable(getattr(kind, name, None))]


def refuse_replaced(names: list[str], kind: type, where: str) -> None:
    """Refuse methods that were replaced.

    Raises:
        InputError: with the first of the names, if there are any.
    """
    if names:
        raise InputError(
            f"{where} has a {names[0]} of its own instead of that of {kind.__name__}, and may compute something else; pass the "
            "layers themselves, or a rule for the class"
        )
