"""The painted scenes of the quickstart, one module each; `paint` is their common paintbox."""
