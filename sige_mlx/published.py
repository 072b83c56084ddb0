"""Files of weights that authors published, and what a checkpoint of anyone's may be called."""

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

HUB = "hf:"
"""What a repository of the Hugging Face hub begins with where a file is asked for."""


@dataclass(frozen=True)
class PublishedFile:
    """A checkpoint: its name, after that of its folder where many are called alike, the page, folder or archive it is
    in, and its MD5 as the authors give it. Of a repository of the hub, `name` is "hf:OWNER/NAME"."""

    name: str
    place: str
    md5: str | None = None

    @property
    def on_hub(self) -> bool:
        return self.name.startswith(HUB)

    def called(self, path: Path) -> bool:
        """Whether `path` has its name, or is in the repository's folder in the hub's cache."""
        if self.on_hub:
            return self.name in map(repository, path.absolute().parts)
        parts = Path(self.name).parts
        return path.absolute().parts[-len(parts) :] == parts


def repository(folder: str) -> str | None:
    """The repository, as "hf:OWNER/NAME", that is in the folder of this name in the hub's cache; None for others."""
    kind, *rest = folder.split("--")
    return HUB + "/".join(rest) if kind == "models" and len(rest) == 2 and all(rest) else None


_NET_G = re.compile(r"(?:latest|\d+)_net_G(_A|_B)?")
"""What CycleGAN's and SPADE's training calls every generator."""

_WORDS = frozenset(
    [
        "best",
        "bin",
        "checkpoint",
        "checkpoints",
        "ckpt",
        "ckpts",
        "dict",
        "diffusion",
        "epoch",
        "final",
        "fp16",
        "fp32",
        "index",
        "iter",
        "iteration",
        "last",
        "latest",
        "lightning",
        "log",
        "logs",
        "model",
        "models",
        "of",
        "pytorch",
        "run",
        "runs",
        "safetensors",
        "snapshots",
        "state",
        "step",
        "steps",
        "unet",
        "version",
        "weights",
        "global",
    ]
)
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_PARENTS = 6


def telling_name(source: Path) -> str:
    """The file's name without its extension; where many files are called so, that of the nearest folder that tells
    more, or of the repository of the hub whose folder it is in."""
    generator = _NET_G.fullmatch(source.stem)
    names = [source.parent.name if generator else source.stem]
    names += [folder.name for folder in islice(source.absolute().parents, _MAX_PARENTS)]
    for name in names:
        if repo := repository(name):
            return repo.rpartition("/")[2]
        if name and not _tells_nothing(name):
            return name + ((generator[1] or "") if generator else "")
    return source.stem


def _tells_nothing(name: str) -> bool:
    """Whether it is made of words and numbers that training scripts put into any name, or is a checksum."""
    parts = [part for part in re.split(r"[\W_]+", name.lower()) if part]
    return _HASH.fullmatch(name) is not None or all(part in _WORDS or part.isdigit() for part in parts)
