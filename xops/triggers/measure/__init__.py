"""Where the facts come from: GitHub, Git, a file."""
