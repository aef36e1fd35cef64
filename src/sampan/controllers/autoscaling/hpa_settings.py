"""What holds for all autoscalers that do not say otherwise: upstream's `--horizontal-pod-autoscaler-*` flags."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AutoscalingSettings:
    """Times in seconds."""

    sync_period_s: float = 15.0
    """How often each autoscaler is looked at."""
    downscale_stabilization_s: float = 300.0
    """For how long the highest recommendation counts before fewer replicas are had."""
    tolerance: float = 0.1
    """How far a ratio may be from one before anything is done."""
    cpu_initialization_s: float = 300.0
    """After its start a pod's CPU counts only if it is ready and the sample is newer than that."""
    initial_readiness_delay_s: float = 30.0
    """A pod that became unready within this time of its start has never been ready."""


DEFAULTS = AutoscalingSettings()
