"""The GPU engine where there is no GPU: `device` is the model of Metal, `__main__` runs any module on it."""
