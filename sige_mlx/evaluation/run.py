"""Judges the cases one by one, alone or with others, and goes on where a run was ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sige_mlx.editing.colour import Picture
from sige_mlx.editing.destination import save_image, write_whole
from sige_mlx.editing.images import Source
from sige_mlx.errors import SigeError
from sige_mlx.evaluation import table
from sige_mlx.evaluation.cases import Case, Cases
from sige_mlx.evaluation.lines import PATTERN, Lines, fingerprint, lines_file, read_lines
from sige_mlx.evaluation.measures import IN, WHOLE, Measures, Segmenting, confusion, segmenting
from sige_mlx.evaluation.ranks import Ranks
from sige_mlx.evaluation.subject import DENSE, Subject
from sige_mlx.nn.module import parameters
from sige_mlx.zoo import Pretrained

TABLE, SHEET = "table.json", "sheet.png"
"""What the folder of a run has in the end besides the lines and the pictures."""

PICTURES = "pictures"
"""The folder of the pictures in it."""

LONGEST = 60
"""Characters of a method's name in those of its pictures, its last ones."""

Progress = Callable[[int, int], object]
"""Called with (cases done, cases in all)."""


@dataclass(frozen=True)
class Evaluation:
    """What a run found."""

    lines: list[dict[str, Any]]
    """In the order of the cases."""
    table: dict[str, Any]
    missing: tuple[str, ...]
    """What could not be measured, a sentence each."""
    failed: tuple[str, ...]
    """Cases that could not be judged, a sentence each; another run tries them again."""


class Judge:
    """A subject with all that is measured of it, and the folder that results go to."""

    def __init__(self, subject: Subject, cases: Cases, out: Path):
        self.subject, self.cases, self.out = subject, cases, out
        self.measures = Measures()
        self._file_names = _file_names(subject.methods)
        self.segmenting: Segmenting | None = None
        if subject.pretrained.task == "labels":
            try:
                self.segmenting = segmenting(subject.pretrained.classes)
            except SigeError as error:
                self.measures.missing.append(str(error))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Whatever results depend on; JSON can hold it."""
        subject, given = self.subject, self.subject.settings
        by = self.segmenting
        seen = {"segmenter": by.weights} if by and by.weights else {}
        return {
            "model": identity(subject.pretrained),
            "methods": list(subject.methods),
            "others": {method: identity(other) for method, other in subject.others.items()},
            "policies": {method: asdict(policy) for method, policy in subject.policies.items()},
            "sampling": dict(given.sampling or {}),
            "device": given.device,
            "cases": self.cases.identity,
            "measures": [*self.measures.names, *self.measures.of_sets, *([by.name] if by else [])],
            **seen,
        }

    def judged(self, index: int) -> tuple[dict[str, Any], dict[str, Picture]]:
        """The result of a case, and what each method made of it."""
        case = self.cases[index]
        mask, made = self.subject.render(case)
        pictures = {method: one.image for method, one in made.items()}
        size = mask.shape
        truth = None if case.truth is None else Source.of(case.truth, size, "the true picture").pixels
        references = {table.TO_DENSE: pictures[DENSE], **({} if truth is None else {table.TO_TRUTH: truth})}
        near = self.measures.compare(pictures, references, mask)
        del near[table.TO_DENSE][DENSE]  # itself
        line: dict[str, Any] = {"case": index, "name": case.name, "edited": float(mask.mean()), "methods": {}}
        for method, one in made.items():
            told: dict[str, Any] = {"macs": one.macs, "seconds": one.seconds}
            told |= {to: by_method[method] for to, by_method in near.items() if method in by_method}
            if self.segmenting:
                told["seen"] = self._seen(self.segmenting, case, one.image, mask)
            if features := self.measures.features(one.image):
                told["features"] = features
            line["methods"][method] = told
        real = truth if truth is not None or self.subject.pretrained.task == "labels" else self.subject.shown(case)[0]
        if real is not None and (features := self.measures.features(real)):
            line["features"] = features
        return line, pictures

    def _seen(self, by: Segmenting, case: Case, picture: Picture, mask: np.ndarray) -> dict[str, list[list[int]]]:
        """Pixels by what they should show and what is seen there."""
        true, found = by.known(self.subject.maps(case)), by.seen(picture)
        return {at: confusion(true, found, where, by.classes) for at, where in ((IN, mask), (WHOLE, None))}

    def picture_file(self, index: int, method: str) -> Path:
        """Where what a method made of a case is."""
        return self.out / PICTURES / f"{index:05}-{self._file_names[method]}.png"

    def check_out(self) -> None:
        """Raises `SigeError` where results would replace files that no run has written: of one there are lines."""
        if any(self.out.glob(PATTERN)):
            return
        made = (self.picture_file(index, method) for index in range(len(self.cases)) for method in self.subject.methods)
        for file in (self.out / TABLE, self.out / SHEET, *(made if (self.out / PICTURES).is_dir() else ())):
            if file.exists():
                raise SigeError(
                    f"{file} is there already, and is not of a run that could go on, as {self.out} has no {PATTERN}:"
                    " give another or an empty folder as --out"
                )

    def has_pictures(self, index: int) -> bool:
        """Whether what the methods made of a case is in the folder."""
        return all(self.picture_file(index, method).is_file() for method in self.subject.methods)


def evaluate(judge: Judge, ranks: Ranks, progress: Progress | None = None) -> Evaluation | None:
    """Judge all cases that are not judged yet, each rank its share; the first rank gets what all of them found, the
    others None. Raises `SigeError` where the ranks were given different things, where one of them is gone, and before
    anything is judged where files of another origin would be replaced. A case of which a picture is missing is judged
    again."""
    judge.check_out()
    settings, count = judge.settings, len(judge.cases)
    (judge.out / PICTURES).mkdir(parents=True, exist_ok=True)
    given = ranks.gather(fingerprint(settings) + f" {count}")
    if len(set(given)) > 1:
        other = next(rank for rank, one in enumerate(given) if one != given[0])
        raise SigeError(f"machine {other} was given other settings, files or weights than machine 0")
    done = {index: line for index, line in read_lines(judge.out, settings).items() if judge.has_pictures(index)}
    everywhere = set().union(*ranks.gather(sorted(done)))
    left = [index for index in range(count) if index not in everywhere]
    failed: list[tuple[int, str]] = []
    with Lines(lines_file(judge.out, ranks.rank), settings) as lines:
        share = left[ranks.rank :: ranks.size]
        for number, index in enumerate(share):
            if progress:
                progress(count - len(left) + number * ranks.size, count)
            try:
                line, pictures = judge.judged(index)
            except SigeError as error:
                failed.append((index, str(error)))
                continue
            for method, picture in pictures.items():  # a folder that cannot be written ends the run
                save_image(Image.fromarray(picture), judge.picture_file(index, method))
            lines.add(line)
            done[index] = line
    if progress:
        progress(count, count)
    found: dict[int, dict[str, Any]] = {}
    for part in ranks.gather(list(done.values())):
        found.update((line["case"], line) for line in part if line["case"] not in found)
    sentences = [sentence for _, sentence in sorted(tuple(f) for part in ranks.gather(failed) for f in part)]
    ordered = [found[index] for index in sorted(found) if index < count]
    if ranks.rank:
        return None
    if not ordered:
        raise SigeError(f"none of the {count} pictures could be judged: {sentences[0]}")
    summed = table.summary(ordered, judge.subject.methods, judge.measures.names, judge.segmenting)
    return Evaluation(ordered, summed, tuple(judge.measures.missing), tuple(sentences))


def _file_names(methods: Sequence[str]) -> dict[str, str]:
    """What methods are called in names of files: each otherwise, also where capital letters do not tell names apart."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for method in methods:
        plain = name = "".join(c if c.isalnum() or c in ".-" else "-" for c in method)[-LONGEST:]
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        found[method] = name
    return found


def fetched(judge: Judge, ranks: Ranks, cases: list[int]) -> None:
    """Have on the first rank what all methods made of some cases, which the first rank names: pictures that another one
    made are copied from it."""
    for index in ranks.gather(cases)[0]:
        for method in judge.subject.methods:
            file = judge.picture_file(index, method)
            parts = ranks.gather_bytes(file.read_bytes() if file.is_file() else b"")
            copied = next((part for part in parts if part), b"")
            if ranks.rank == 0 and copied and not file.is_file():
                write_whole(file, lambda into, copied=copied: into.write(copied))  # type: ignore[misc]


def identity(of: Pretrained) -> str:
    """The SHA-256 of a network's configuration and weights."""
    digest = hashlib.sha256(f"{of.family} {of.model.config}".encode())
    for name in sorted(parameters(of.model)):
        digest.update(name.encode() + np.ascontiguousarray(of.load(name)).tobytes())
    return digest.hexdigest()
