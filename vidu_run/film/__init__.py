"""Clips as a film: one frame of a clip as a still, and clips joined in their order. Knows nothing of jobs and tasks."""

# Whole, and before any part of it: where two threads import it at once and one begins with a part, each waits for the
# other, Python lets one go on with half of it, and its types are there twice.
import av  # noqa: F401
