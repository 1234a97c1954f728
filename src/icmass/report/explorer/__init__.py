"""The explorer of a page: clusters to look at one by one, without server or network."""
