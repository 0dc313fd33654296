"""ECS: a scheduler that starts, replaces and stops the tasks of services.

AWS: creating a service starts a deployment. Its tasks go PROVISIONING, PENDING, (ACTIVATING),
RUNNING, are registered in target groups, and replace those of the deployment before within
minimumHealthyPercent and maximumPercent. A deployment whose tasks fail is given up by the circuit
breaker and, on request, rolled back.

moto 5.2.5 keeps a service at runningCount 0 and rolloutState IN_PROGRESS for ever, starts no task
for it, drops half of CreateService's members and answers 500 without security groups.

`images` says which faults an image tag can ask for, `task` and `service` are the pure state
machine, `backend` and `responses` join it to moto, `extension` installs them, `driver` ticks them.
"""
