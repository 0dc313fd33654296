"""The embedded stack: everything `xops up` starts on one machine.

services    servers in the background that outlive the command that started them
aws         the embedded AWS
postgresql  the embedded database as a service
database    where the Prefect server keeps its runs: there, or elsewhere
stack       the servers of one installation, the Prefect server and its worker among them
up          the order in which they come up, and the first provisioning
doctor      what is installed, found and reachable
"""
