"""Our outputs against those of the original PyTorch networks and of the peer's engine, frozen in a folder.

`__main__` is the command; `folder` finds networks and cases, `case` reads one, `check` runs it, `report` prints.
"""
