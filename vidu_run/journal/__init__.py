"""The journal: the port behind the state file. `port` says what it promises, `reader` and `sqlite` keep the promise."""
