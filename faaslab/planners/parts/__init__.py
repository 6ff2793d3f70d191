"""The planning part of each optimization, one file each: where in a plan it can help.

Each has ``apply(dag, plan, ctx)``, which returns the plan with the optimization's instructions for every task that it
can help, and does not ask whether it pays: ``planners.composer`` does, since that depends on what else is in the plan.
"""
