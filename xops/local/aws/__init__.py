"""The embedded AWS: moto's server with the calls it lacks, as a process of its own.

`python -m xops.local.aws --port 4566` serves it in the foreground. Everything it answers is an
emulation; callers label their output `target: embedded`.

Each module here extends one AWS service in the form in which it could be proposed to moto: a
backend method that holds the behaviour and a response method that reads the parameters.
`install()` in `xops.local.aws.install` puts all of them in place.
"""
