"""The embedded AWS as an HTTP server that can be told to fail."""
