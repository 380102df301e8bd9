"""How much a step asks of the device: operations of torch that compute, forward and backward."""

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode

# What torch itself calls without work on the device.
_FREE = {"aten::detach", "aten::lift_fresh", "aten::_unsafe_view"}


class Calls(TorchDispatchMode):
    """Within the block, ATen operations are counted by name, in `by_name`; those whose result is a view only in `views`.

    A view is a result that shares its numbers with an argument and does not change them, by the schema of the operation.
    """

    def __init__(self):
        super().__init__()
        self.by_name, self.views = Counter(), Counter()

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        shared = [each.alias_info for each in operation._schema.returns]
        free = operation.name() in _FREE or any(each is not None and not each.is_write for each in shared)
        (self.views if free else self.by_name)[operation.name()] += 1
        return operation(*arguments, **(named or {}))
