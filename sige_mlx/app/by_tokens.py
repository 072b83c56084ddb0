"""Models that edit by tokens, in the editor: which there are, how they are set, and their sessions as the renderer uses
those of other networks."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np

from sige_mlx import arguments
from sige_mlx.app.results import Settings
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import Source
from sige_mlx.editing.recording import Progress
from sige_mlx.errors import SigeError
from sige_mlx.token_models import KLEIN, MODELS, TINY

MOST_WORDS = 2000
"""Characters of a prompt."""

TASK = "tokens"


def models(own: str | None) -> list[dict[str, Any]]:
    """Those that there are, as `Catalogue.models` tells of models: klein where mflux is installed, which is here where
    its weights are, or where the user has named it; others where the user has."""
    if not importlib.util.find_spec("mflux"):
        return []
    from sige_mlx.tokens import klein

    names = [KLEIN, *([own] if own in MODELS and own != KLEIN else [])]
    about = "renders what is painted on a picture, as words say"
    return [
        {
            "name": name,
            "here": name == own or klein.downloaded(name),
            "kind": "picture",
            "task": TASK,
            "size": [klein.LARGEST[name]] * 2,
            "about": about,
        }
        for name in names
    ]


def check_installed() -> None:
    """Raises `SigeError` where mflux is not, or another than is understood."""
    from sige_mlx.tokens.flux2 import check_mflux

    check_mflux()


def usual(model: str, device: str) -> Settings:
    """Those that a picture is opened with."""
    from sige_mlx.tokens.settings import STEPS, STRENGTH

    return Settings(model, device, None, 0, STRENGTH, STEPS, prompt="")


def checked(settings: Settings) -> Settings:
    """Settings of such a model, what was not said of them as usual. Raises `SigeError` for what it cannot take."""
    from sige_mlx.tokens.settings import check_steps

    of = usual(settings.model, settings.device)
    given = {name: getattr(settings, name) for name in ("seed", "strength", "steps", "prompt")}
    made = replace(of, **{name: value for name, value in given.items() if value is not None})
    steps, strength = check_steps(made.steps, made.strength)
    seed = arguments.whole(made.seed, "the seed", 0, 2**32 - 1)
    if not isinstance(made.prompt, str) or len(made.prompt) > MOST_WORDS:
        raise SigeError(f"the prompt must be words, at most {MOST_WORDS} characters of them")
    return replace(made, steps=steps, strength=strength, seed=seed)


def bits_for(settings: Settings, size: tuple[int, int]) -> int:
    """Bits of a weight: the first that fit into memory with a picture (H, W). Raises `SigeError` where none do."""
    from sige_mlx.tokens import klein
    from sige_mlx.tokens.plan import BITS

    assert settings.steps is not None and settings.strength is not None
    return klein.fitting(settings.model, size, [], settings.steps, settings.strength, BITS).bits


class TokenModel:
    """A model that is loaded, in weights of some bits. Only of the user's `own` anything is fetched that is not on this
    machine. Raises `SigeError` for another that is not here."""

    def __init__(self, name: str, bits: int, own: str | None):
        from sige_mlx.tokens import klein
        from sige_mlx.tokens.plan import BITS

        folder = klein.folder() if name == KLEIN else None
        if folder is None and name not in (own, TINY):
            raise SigeError(f"the weights of {name} are not on this machine")
        self.pipeline = klein.load(name, bits, None if folder is None else str(folder))
        quantised = f"weights are quantised to {bits} bits: memory has no room for them as they were published"
        self.notes = () if bits == BITS[0] else (quantised,)

    def session(self, given: Source, settings: Settings) -> TokenEditing:
        """A session of an original."""
        return TokenEditing(self, given, settings)


class TokenEditing:
    """A session as the renderer uses it. It begins with the first edit, whose prompt is the one that is recorded: an
    edit with another costs more."""

    def __init__(self, model: TokenModel, given: Source, settings: Settings):
        self._model, self._given, self._settings = model, given, settings
        self._session: Any = None
        self._untold = model.notes
        self._last: tuple[Source, str | None, Picture] | None = None
        """What was edited, with which words, and the result, which is not kept yet."""

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        return self._session.recording_nbytes if self._session else 0

    @property
    def pending(self) -> Any:
        """The result that a commit would keep."""
        return self._session and self._session.pending

    @property
    def proposed(self) -> Source:
        """What it would make the original."""
        source: Source = self.pending.source
        return source

    def edit(self, edited: Source, prompt: str | None, progress: Progress) -> Any:
        """An edit, see `TokenSession`."""
        if self._session is None:
            from sige_mlx.tokens.session import TokenSession

            of = self._settings
            how: dict[str, Any] = {"steps": of.steps, "strength": of.strength, "seed": of.seed}
            self._session = TokenSession(self._model.pipeline, self._given, prompt=prompt or "", **how)
        made = self._session.edit(edited, prompt=prompt, progress=progress)
        self._last = edited, prompt, made.image
        untold, self._untold = self._untold, ()
        return replace(made, notes=(*made.notes, *untold))

    def commit(self) -> None:
        """Keeps the result."""
        self._session.commit()
        self._last = None

    def adopt(self, given: Source) -> None:
        """Makes an original the one that is edited: one that was before, or was undone, with what was recorded of it,
        or the last result, which is edited again; another is recorded anew."""
        self._given, session = given, self._session
        if session is None:
            return
        session.revert()
        if np.array_equal(session.original, given.pixels):
            return
        if self._last and np.array_equal(self._last[2], given.pixels):  # another render was stopped, and took its rows
            edited, prompt, _ = self._last
            session.edit(edited, prompt=prompt)
            self.commit()
            if np.array_equal(session.original, given.pixels):
                return
        for possible, go in (("undoable", session.undo), ("redoable", session.redo)):
            while getattr(session, possible):
                go()
                if np.array_equal(session.original, given.pixels):
                    return
        self._session = None
