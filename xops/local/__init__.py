"""The embedded stack: everything `xops up` starts on one machine.

services  servers in the background that outlive the command that started them
aws       the embedded AWS
prefect   the Prefect server, its worker, and what is deployed to it
up        the order in which they come up, and the first provisioning
doctor    what is installed, found and reachable
"""
