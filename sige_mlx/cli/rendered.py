"""Pictures and label maps that were edited, rendered: what `edit` and `demo` have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sige_mlx.cli import terminal

if TYPE_CHECKING:
    from PIL.Image import Image

    from sige_mlx.editing import EditSession, LabelSession, TranslationSession
    from sige_mlx.editing.colour import Picture
    from sige_mlx.editing.result import DenseResult, EditResult
    from sige_mlx.engine import Engine
    from sige_mlx.zoo import Pretrained

    Files: TypeAlias = dict[str, Path]  # by the option of `edit` that names the file


class Rendered(NamedTuple):
    """What an edit came to, what it was made of, and the settings in words."""

    result: "EditResult"
    dense: "DenseResult | None"
    before: "Picture"
    painted: "Picture"
    settings: str
    unedited: str

    def page(self, model: str, device: str, title: str) -> "Image":
        """The report of the edit as one picture."""
        from sige_mlx.cli.report import report

        subtitle = f"{model} · {self.settings} · {device}"
        return report(self.before, self.painted, self.result, self.dense, title=title, subtitle=subtitle)


def open_pictures(
    engine: "Engine", files: "Files", sampling: dict[str, Any] | None, eps: float | None = None
) -> "EditSession | TranslationSession":
    """A session with a diffusion model with the settings `sampling`, or without them with a network that translates;
    `eps` is how much pixels may differ that were not edited, by default the model's."""
    from sige_mlx.editing import EditSession, TranslationSession

    if sampling is None:
        return TranslationSession(engine, files["original"], eps=eps)
    return EditSession(engine, files["original"], eps=eps, **sampling)


def of_pictures(
    session: "EditSession | TranslationSession", files: "Files", compare: bool, once: bool = False
) -> Rendered:
    """A picture that was painted into, rendered; `once` if it is the session's only edit."""
    from sige_mlx.editing import EditSession
    from sige_mlx.masks.difference import LEVELS

    settings, same = "translation", "the original translated"
    if isinstance(session, EditSession):
        settings, same = f"{session.denoising}, seed {session.seed}{', fill' * session.fill}", "the original"
    mask, before, painted = files.get("mask"), session.original, session.source
    if "edited" in files:  # a fill may do without
        painted = session.reader.edited(files["edited"], session.source)
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(painted, mask, tell, once=once)
        dense = session.dense(painted, mask, tell) if compare else None
    if mask:
        why = "the mask is black"
    elif (painted.pixels == before).all():
        why = "the pictures do not differ"
    else:
        why = f"no pixels differ by more than {int(session.reader.eps * LEVELS)} of 255 levels"
    return Rendered(result, dense, before, painted.pixels, settings, f"{why}. The result is {same}")


def open_labels(engine: "Engine", pretrained: "Pretrained", files: "Files") -> "LabelSession":
    """A session with a network that makes pictures of label maps; colours are those of `pretrained`."""
    from sige_mlx.editing import LabelSession

    return LabelSession(engine, files["labels"], files.get("instances"), palette=pretrained.palette)


def of_labels(
    session: "LabelSession", pretrained: "Pretrained", files: "Files", compare: bool, once: bool = False
) -> Rendered:
    """A label map that was edited, rendered; `once` if it is the session's only edit."""
    from sige_mlx.editing.label_maps import colours

    palette = pretrained.palette
    labels, instances = session.read(files["edited_labels"], files.get("edited_instances"))
    edited = labels, instances if "edited_instances" in files else None
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(*edited, tell, once=once)
        dense = session.dense(*edited, tell) if compare else None
    # What was not recorded has no picture.
    before = colours(session.labels, palette) if session.image is None else session.image
    unedited = "the label maps do not differ. The result is the original's picture"
    return Rendered(result, dense, before, colours(labels, palette), "label map", unedited)
