"""All harnesses, by the names that the command knows them by."""

from tests.fuzz.harness import Harness
from tests.fuzz.harnesses import checkpoints, descriptions, editor, networks, pickles, pictures, safetensors, sessions

HARNESSES: dict[str, Harness] = {
    **pickles.HARNESSES,
    **checkpoints.HARNESSES,
    **safetensors.HARNESSES,
    **networks.HARNESSES,
    **descriptions.HARNESSES,
    **pictures.HARNESSES,
    **sessions.HARNESSES,
    **editor.HARNESSES,
}
