"""A campaign with everything that a file can have, small."""

TEXT = """
[[sweep]]
seeds = [0, 1]
epochs = [0, 2]
students = ["mlp-4-8", "mlp-6-8"]
images = 50
[sweep.population]
name = "gaussian-mixture"
classes = 3
[sweep.teacher]
network = "mlp-16-8"
training = { epochs = 1, steps = 2, batch = 8, learning_rate = 1e-3 }
[sweep.training]
epochs = 2
steps = 2
batch = 8
learning_rate = 1e-3
[sweep.objectives]
none = {}
cw2 = { weight = [0.1, 1.0] }
soft = { name = "kd", temperature = 2.0 }

[[coverage]]
deltas = [0.1]
draws = 10_000
[coverage.population]
name = "gaussian-mixture"
classes = 3
[coverage.teacher]
network = "mlp-16-8"
training = { epochs = 1, steps = 2, batch = 8, learning_rate = 1e-3 }
[coverage.student]
network = "mlp-4-8"
training = { epochs = 1, steps = 2, batch = 8, learning_rate = 1e-3 }
[coverage.objective]
name = "kd"
[[coverage.audits]]
sizes = [20, 40]
repeats = [5, 3]
block = 2
rows = ["F1.gap"]
"""
