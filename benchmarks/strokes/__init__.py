"""How long after the pen lifts what a stroke changed is to be seen in the editor, besides the network's own time."""
