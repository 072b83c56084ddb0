"""Our dense pass and edits against other engines', in one run.

`__main__` is the command. Every engine works in a process of its own (`worker`), so that no thread pool or allocator
disturbs another's; `rounds` lets them take turns, one call at a time; `engines/` has one file per engine.
"""
