"""Cost Explorer, where there is no export yet: few requests, each of which costs money."""
