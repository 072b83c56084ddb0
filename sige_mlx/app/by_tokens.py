"""Models that edit by tokens, in the editor: which there are, how they are set, and their sessions as the renderer uses
those of other networks."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np

from sige_mlx import arguments
from sige_mlx.app.results import Settings
from sige_mlx.editing.images import Source
from sige_mlx.editing.recording import Progress
from sige_mlx.errors import SigeError
from sige_mlx.token_models import KLEIN, MODELS

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


class TokenModel:
    """A model that is loaded, in the first precision that fits into memory with a picture of some size."""

    def __init__(self, settings: Settings, size: tuple[int, int]):
        from sige_mlx.tokens import klein
        from sige_mlx.tokens.plan import BITS

        assert settings.steps is not None and settings.strength is not None
        plan = klein.fitting(settings.model, size, [], settings.steps, settings.strength, BITS)
        self.pipeline = klein.load(settings.model, plan.bits)
        quantised = f"weights are quantised to {plan.bits} bits: memory has no room for them as they were published"
        self.notes = () if plan.bits == BITS[0] else (quantised,)

    def session(self, given: Source, settings: Settings) -> TokenEditing:
        """A session of an original."""
        return TokenEditing(self, given, settings)


class TokenEditing:
    """A session as the renderer uses it. It begins with the first edit, whose prompt is the one that is recorded: an
    edit with another costs more."""

    def __init__(self, model: TokenModel, given: Source, settings: Settings):
        self._model, self._given, self._settings = model, given, settings
        self._session: Any = None

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
            return replace(made, notes=(*made.notes, *self._model.notes))
        return self._session.edit(edited, prompt=prompt, progress=progress)

    def commit(self) -> None:
        """Keeps the result."""
        self._session.commit()

    def adopt(self, given: Source) -> None:
        """Makes an original the one that is edited: one that was before, or was undone, with what was recorded of it;
        another is recorded anew."""
        self._given, session = given, self._session
        if session is None:
            return
        session.revert()
        if np.array_equal(session.original, given.pixels):
            return
        for possible, go in (("undoable", session.undo), ("redoable", session.redo)):
            while getattr(session, possible):
                go()
                if np.array_equal(session.original, given.pixels):
                    return
        self._session = None
