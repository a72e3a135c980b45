"""Values: the standard library's dataclasses in words and behaviour, made by msgspec.

Nearly everything that passes through this house is a small frozen value, dozens of them for each registration. A frozen
dataclass of the standard library takes ten times as long to fill as a `msgspec.Struct`, and forty times as long to
define, which every start pays for each of hundreds. To the type checker these names are the standard library's own.

Not to be had here: `repr`, `compare`, `init` and `kw_only` of a field, and bases with an `__init__`. A class that needs
them is one of the standard library's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace  # noqa: TID251 - this is where it comes from
else:
    import dataclasses

    import msgspec
    from msgspec import field

    _Made = type(msgspec.Struct)

    def dataclass(*, slots: bool, frozen: bool = False) -> Any:
        """A decorator: the class's annotations become its fields. Raises TypeError for what is not to be had."""
        if not slots:
            raise TypeError("these have slots, and say so")

        def make(described: type) -> type:
            if isinstance(described, _Made):
                # What it inherits from has made it one already.
                return described
            members = {
                name: member
                for name, member in vars(described).items()
                if name not in ("__dict__", "__weakref__")
            }
            above = tuple(each for each in described.__bases__ if each is not object)
            return _Made(described.__name__, (msgspec.Struct, *above), members, frozen=frozen)

        return make

    def replace(value: Any, /, **changes: Any) -> Any:
        """Of both kinds."""
        if isinstance(value, msgspec.Struct):
            return msgspec.structs.replace(value, **changes)
        return dataclasses.replace(value, **changes)  # noqa: TID251 - of the standard library's kind


__all__ = ["dataclass", "field", "replace"]
