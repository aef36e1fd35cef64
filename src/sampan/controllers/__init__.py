"""The controller manager: one file a control loop."""
