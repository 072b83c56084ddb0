"""Pictures and label maps that were edited, rendered: what `edit` and `demo` have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sige_mlx.cli import terminal

if TYPE_CHECKING:
    from PIL.Image import Image

    from sige_mlx.editing.images import Picture
    from sige_mlx.editing.result import DenseResult, EditResult
    from sige_mlx.engine import Engine
    from sige_mlx.zoo import Pretrained

    Images: TypeAlias = dict[str, Image]  # by the option of `edit` that names the file
    Files: TypeAlias = dict[str, Path]  # likewise


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
        from sige_mlx.editing.report import report

        subtitle = f"{model} · {self.settings} · {device}"
        return report(self.before, self.painted, self.result, self.dense, title=title, subtitle=subtitle)


def of_pictures(engine: "Engine", images: "Images", sampling: dict[str, Any] | None, compare: bool) -> Rendered:
    """By a diffusion model with the settings `sampling`, or without them by a network that translates."""
    from sige_mlx.editing import EditSession, TranslationSession
    from sige_mlx.editing.images import picture

    painted, mask = images["edited"], images.get("mask")
    session: EditSession | TranslationSession
    if sampling is None:
        session = TranslationSession(engine, images["original"])
        settings, same = "translation", "the original translated"
    else:
        session = EditSession(engine, images["original"], **sampling)
        settings, same = f"{session.denoising}, seed {sampling['seed']}", "the original"
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(painted, mask, tell)
        dense = session.dense(painted, mask, tell) if compare else None
    unedited = f"the pictures do not differ, or the mask is black. The result is {same}"
    return Rendered(result, dense, session.original, picture(painted, engine.image_size), settings, unedited)


def of_labels(engine: "Engine", pretrained: "Pretrained", files: "Files", compare: bool) -> Rendered:
    """By a network that makes pictures of label maps; colours are those of `pretrained`."""
    from sige_mlx.editing import LabelSession
    from sige_mlx.editing.label_maps import colours

    palette = pretrained.palette
    session = LabelSession(engine, files["labels"], files.get("instances"), palette=palette)
    labels, instances = session.read(files["edited_labels"], files.get("edited_instances"))
    edited = labels, instances if "edited_instances" in files else None
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(*edited, tell)
        dense = session.dense(*edited, tell) if compare else None
    unedited = "the label maps do not differ. The result is the original's picture"
    return Rendered(result, dense, session.record(), colours(labels, palette), "label map", unedited)
