"""As much of JSON Schema (2020-12) as the schema of an audit uses; a keyword that is not known here is an error."""

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
_WORDS = {"$schema", "$defs", "title", "description"}


def faults(value, schema, root=None, place="$"):
    """Everything that is wrong with a value, in words."""
    root = schema if root is None else root
    if "$ref" in schema:
        prefix, _, name = schema["$ref"].rpartition("/")
        assert prefix == "#/$defs"
        yield from faults(value, root["$defs"][name], root, place)
    for keyword, wanted in schema.items():
        yield from _KEYWORDS[keyword](value, wanted, schema, root, place) if keyword not in _WORDS | {"$ref"} else ()


def _is(value, kind):
    if kind in ("number", "integer"):
        return isinstance(value, (int, float) if kind == "number" else int) and not isinstance(value, bool)
    return isinstance(value, _TYPES[kind])


def _type(value, wanted, _schema, _root, place):
    if not any(_is(value, kind) for kind in ([wanted] if isinstance(wanted, str) else wanted)):
        yield f"{place} is {value!r}, not {wanted}"


def _properties(value, wanted, _schema, root, place):
    for key in set(wanted) & set(value if isinstance(value, dict) else ()):
        yield from faults(value[key], wanted[key], root, f"{place}.{key}")


def _additional(value, wanted, schema, root, place):
    for key in set(value if isinstance(value, dict) else ()) - set(schema.get("properties", ())):
        if wanted is False:
            yield f"{place} has {key!r}"
        else:
            yield from faults(value[key], wanted, root, f"{place}.{key}")


def _required(value, wanted, _schema, _root, place):
    yield from (f"{place} lacks {key!r}" for key in wanted if isinstance(value, dict) and key not in value)


def _items(value, wanted, _schema, root, place):
    for k, item in enumerate(value if isinstance(value, list) else ()):
        yield from faults(item, wanted, root, f"{place}[{k}]")


def _limit(within):
    def check(value, wanted, _schema, _root, place):
        if _is(value, "number") and not within(value, wanted):
            yield f"{place} is {value!r}, beyond {wanted}"

    return check


_KEYWORDS = {
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "items": _items,
    "enum": lambda value, wanted, *rest: () if value in wanted else (f"{rest[-1]} is {value!r}, none of {wanted}",),
    "const": lambda value, wanted, *rest: () if value == wanted else (f"{rest[-1]} is {value!r}, not {wanted!r}",),
    "minimum": _limit(lambda value, limit: value >= limit),
    "maximum": _limit(lambda value, limit: value <= limit),
    "exclusiveMinimum": _limit(lambda value, limit: value > limit),
}
