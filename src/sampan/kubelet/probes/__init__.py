"""Probes: is the container started, alive, ready?"""
