"""Stream 1: ECS Fargate. One environment's stack is planned, applied, verified and recorded here.

environment   what an environment is (deployments/environments/*.yaml)
terraform     the one adapter to Terraform
changes       Terraform's JSON plan as a `Plan`
state_bucket  where Terraform's state lives
aws           how AWS is reached for each target
services      whether the ECS services really run, seen from outside
stream1       one stack, and each step of its lifecycle
lifecycle     the order of the steps, the same for the flows and the shell
"""
