"""What many tests share: servers, a proxy that misbehaves, the search for a browser."""
