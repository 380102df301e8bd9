"""Every run draws the same examples."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "kd2m", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("kd2m")
