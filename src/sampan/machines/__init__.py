"""Several nodes on one machine: a network namespace each, linked by a fabric; all of it removed without trace.

Nothing is imported here, so that who needs only names and namespaces (the supervisor) does not load netlink.
"""
