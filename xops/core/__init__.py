"""What every lifecycle step is made of: plans, errors, settings, processes, evidence, money.

Nothing here knows a step, Prefect, or a cloud.
"""
