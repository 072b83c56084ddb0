"""ctypes takes its structs, enumerations and constants from `cpu/sige_cpu.h`, which is their only definition."""

import ctypes
import re
from typing import Any

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DEFINE = re.compile(r"^#define (\w+) (\d+)$", re.MULTILINE)
_ENUM = re.compile(r"enum(?: \w+)? \{(.*?)\}", re.DOTALL)
_STRUCT = re.compile(r"typedef struct (\w+) \{(.*?)^\} \1;", re.DOTALL | re.MULTILINE)
_UNION = re.compile(r"union \{(.*?)\} (\w+);", re.DOTALL)
_MEMBERS = re.compile(r"(?:const )?(\w+) ([^;]+);")
_MEMBER = re.compile(r"(\*?)(\w+)(?:\[(\w+)\])?")

_TYPES: dict[str, Any] = {
    "int32_t": ctypes.c_int32,
    "uint8_t": ctypes.c_uint8,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
}


class Header:
    """It reads what the text of our header defines. A struct that it does not understand is a `KeyError`."""

    def __init__(self, text: str):
        text = _COMMENT.sub("", text)
        self.constants: dict[str, int] = {name: int(value) for name, value in _DEFINE.findall(text)}
        for body in _ENUM.findall(text):
            following = 0
            for entry in filter(None, (part.strip() for part in body.split(","))):
                name, _, value = (part.strip() for part in entry.partition("="))
                following = int(value) if value else following
                self.constants[name] = following
                following += 1
        self.structs: dict[str, Any] = {}
        for name, body in _STRUCT.findall(text):
            union = _UNION.search(body)
            fields = self._fields(body.replace(union[0], "") if union else body)
            if union:
                inner = type(f"{name}_{union[2]}", (ctypes.Union,), {"_fields_": self._fields(union[1])})
                fields.append((union[2], inner))
            self.structs[name] = type(name, (ctypes.Structure,), {"_fields_": fields})

    def _fields(self, body: str) -> list[tuple[str, Any]]:
        fields = []
        for kind, names in _MEMBERS.findall(body):
            of = _TYPES.get(kind) or self.structs[kind]
            for pointer, name, count in _MEMBER.findall(names):
                length = int(count) if count.isdigit() else self.constants[count] if count else 0
                fields.append((name, ctypes.POINTER(of) if pointer else of * length if length else of))
        return fields
