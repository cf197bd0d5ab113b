"""Clips as a film: one frame of a clip as a still, and clips joined in their order. Knows nothing of jobs and tasks."""
