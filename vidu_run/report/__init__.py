"""What a run leaves to look at: the data of status and page, the page itself, its small pictures."""
