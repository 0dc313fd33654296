"""What a node is to hold: K3S's configuration and the files beside it. Pure."""
