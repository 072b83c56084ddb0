"""Weights from the Hugging Face hub, through its own library: downloaded once into its cache, found there offline."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

from sige_mlx.converters import source
from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.errors import SigeError, first_line
from sige_mlx.published import HUB

_PART = r"\w[\w.-]*"
_ADDRESS = re.compile(rf"{HUB}(?P<repo>{_PART}/{_PART})(?P<folder>(?:/{_PART})*)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


def is_address(given: str) -> bool:
    return given.startswith(HUB)


def fetch(address: str) -> Path:
    """The folder in the hub's cache that holds `hf:OWNER/NAME`, `hf:OWNER/NAME/FOLDER` or either with `@REVISION`, with
    the files that a conversion reads; those that are not there are downloaded. Where the cache is and whether the
    network is asked is for the library's own variables to say: HF_HOME, HF_HUB_OFFLINE. Raises `SigeError` where the
    library is missing, the network, the repository or the right to read it."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise SigeError(f"{address}: is no repository; hf:OWNER/NAME would be, hf:OWNER/NAME/FOLDER and …@REVISION too")
    try:
        import huggingface_hub as hub
        from huggingface_hub import constants, errors, utils
    except ImportError:
        raise SigeError(f"{address}: needs the package huggingface_hub: pip install 'sige-mlx[hub]'") from None
    repo, revision, folder = found["repo"], found["revision"], found["folder"].strip("/")
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        listed = [file.rfilename for file in hub.HfApi().model_info(repo, revision=revision).siblings or ()]
        wanted = source.needed(listed, folder)
        return Path(hub.snapshot_download(repo, revision=revision, allow_patterns=wanted)) / folder
    except CheckpointError as error:
        raise SigeError(f"{address}: it {error}") from None
    except Exception as error:  # the library has changed twice what it raises where there is no network
        cached = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
        if cached.is_dir():
            snapshot = source.snapshot(cached, revision) / folder
            with suppress(SigeError):  # a download that came to no end: why it did not is told below
                source.find(snapshot)
                return snapshot
        why = f"is not whole in the hub's cache {cached.parent}, and the hub cannot be reached: {first_line(error)}"
        if isinstance(error, errors.GatedRepoError):
            why = (
                f"its owner wants to be asked first, at https://huggingface.co/{repo}; then log in with `hf auth login`"
            )
        elif isinstance(error, errors.RepositoryNotFoundError):
            why = "there is no such repository on the hub, or it is private and nobody is logged in"
        elif isinstance(error, errors.RevisionNotFoundError):
            why = f"it has no revision {revision}"
        raise SigeError(f"{address}: {why}") from None
