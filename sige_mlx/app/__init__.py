"""The browser editor, `sige-mlx app`: a server on this machine that owns the document, and a page that shows it."""
