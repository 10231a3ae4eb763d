"""How well does a judge of canaries judge? Simulated rollouts, on which judges are played beside one another.

`contract` says what a judge sees, `scenarios` and `traffic` make the rollouts, `bound` says what theory allows,
`peers`, `kayenta` and `reference` are those to compare with, `play` and `measure` run them, `traps` are single hard
cases, and `goals`, `table` and `report` say what came out. Start it with `make bench-judge`.
"""
