"""Another object with the very state of one: what is changed in either is changed in both."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T")


def twin(original: Any, cls: type[T]) -> T:
    """An object of a class, with the attributes of the original, also when one of them is changed later.

    Raises `TypeError` or `AttributeError` where the class keeps its state elsewhere.
    """
    made = object.__new__(cls)
    object.__setattr__(made, "__dict__", original.__dict__)
    if isinstance(original, BaseModel) and issubclass(cls, BaseModel):
        for name in ("__pydantic_fields_set__", "__pydantic_extra__"):
            object.__setattr__(made, name, getattr(original, name))
        private = original.__pydantic_private__
        if cls is not type(original):
            defaults = {name: attribute.get_default() for name, attribute in cls.__private_attributes__.items()}
            private = defaults | (private or {})
        object.__setattr__(made, "__pydantic_private__", private)
    return made
