"""Networks, one file a family: a plain MLX module and one configuration dataclass each."""
