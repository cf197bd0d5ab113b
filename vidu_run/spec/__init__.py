"""From the user's YAML to jobs: `read` the file, expand its `axes` and `template`s, `check` every request."""
