"""vidu-run: start-end2video sweeps from YAML, bought once."""

__version__ = "0.1.0"
