"""Pictures and label maps that were edited, rendered: what `edit` and `demo` have in common."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sige_mlx.cli import terminal
from sige_mlx.errors import SigeError

if TYPE_CHECKING:
    from PIL.Image import Image

    from sige_mlx.editing import EditSession, LabelSession, TranslationSession
    from sige_mlx.editing.colour import Picture
    from sige_mlx.editing.opening import AnySession
    from sige_mlx.editing.result import DenseResult, EditResult
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

        window = self.result.window
        subtitle = f"{model} · {self.settings} · {device}"
        if window is None or window.trivial:
            return report(self.before, self.painted, self.result, self.dense, title=title, subtitle=subtitle)
        before, painted, image = map(window.seen, (self.before, self.painted, self.result.image))
        result = replace(self.result, image=image, mask=window.touched(self.result.mask))
        dense = self.dense and self.dense._replace(image=window.seen(self.dense.image))
        return report(before, painted, result, dense, title=title, subtitle=f"{subtitle} · {window}")


def look(session: "AnySession", window: tuple[int, int, int] | None, scale: float | None) -> None:
    """Has edits be made in a window, or in those of a scale, if one is asked for. Raises `SigeError` for a session that
    sees all of what it edits."""
    from sige_mlx.editing import EditSession

    if isinstance(session, EditSession):
        session.look(window, scale)
    elif window is not None:
        raise SigeError("--window is for diffusion models: this one sees the picture whole")


def rendered_of(
    session: "AnySession", pretrained: "Pretrained", files: "Files", compare: bool, once: bool = False
) -> Rendered:
    """The edit of a session that the files describe; `once` if it is its only one."""
    from sige_mlx.editing import LabelSession

    if isinstance(session, LabelSession):
        return _of_labels(session, pretrained, files, compare, once)
    return _of_pictures(session, files, compare, once)


def _of_pictures(session: "EditSession | TranslationSession", files: "Files", compare: bool, once: bool) -> Rendered:
    """A picture that was painted into, rendered; `once` if it is the session's only edit."""
    from sige_mlx.editing import EditSession

    settings, same = "translation", "the original translated"
    if isinstance(session, EditSession):
        settings, same = f"{session.denoising}, seed {session.seed}{', fill' * session.fill}", "the original"
    mask, before, painted = files.get("mask"), session.original, session.source
    if "edited" in files:  # a fill may do without
        painted = session.reader.edited(files["edited"], session.source)
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(painted, mask, tell, once=once)
        dense = session.dense(painted, mask, tell) if compare else None
    why = unedited(mask, before, painted.pixels, session.reader.eps)
    return Rendered(result, dense, before, painted.pixels, settings, f"{why}. The result is {same}")


def unedited(mask: Path | None, before: "Picture", painted: "Picture", eps: float) -> str:
    """Why nothing is edited, of an edit of which that holds."""
    from sige_mlx.masks.difference import LEVELS

    if mask:
        return "the mask is black"
    if (painted == before).all():
        return "the pictures do not differ"
    return f"no pixels differ by more than {int(eps * LEVELS)} of 255 levels"


def _of_labels(
    session: "LabelSession", pretrained: "Pretrained", files: "Files", compare: bool, once: bool
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
