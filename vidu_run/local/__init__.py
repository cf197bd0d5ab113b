"""The same API on this machine: real HTTP, real checks, real MP4s. It predicts nothing of what a model will draw."""
