"""The journal: the port behind the state file. `port` says what it promises, `sqlite` keeps the promise."""
