"""xOps: a hybrid platform in two independent streams, run as Prefect flows.

The library holds one package a lifecycle step (`ecs`, ...), each on top of `core`;
`local` is the embedded stack that `xops up` starts, and `cli` the shell's way in.
"""
