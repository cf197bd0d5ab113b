"""The client's side of the API: the body that may be sent once, the requests, the download."""
