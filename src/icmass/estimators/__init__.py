"""Mass estimators: one protocol for proxies and networks."""
