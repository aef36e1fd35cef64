"""`sampan scheduler` and `sampan controller-manager` in the command line: a component alone, which gets every argument.

Its module is loaded only then.
"""

from __future__ import annotations

from typing import Any, Final

import typer

_AS_TYPED: Final[dict[str, Any]] = {
    "add_help_option": False,
    "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True},
}


def add(app: typer.Typer) -> None:
    """Put the commands into the application."""

    @app.command("scheduler", **_AS_TYPED)
    def scheduler(context: typer.Context) -> None:
        """Run the scheduler alone, against any API server: sampan scheduler --kubeconfig FILE [--config FILE] …"""
        from sampan.cmd import standalone_scheduler

        standalone_scheduler.main(context.args)

    @app.command("controller-manager", **_AS_TYPED)
    def controller_manager(context: typer.Context) -> None:
        """Run the controllers alone, against any API server: sampan controller-manager --kubeconfig FILE …"""
        from sampan.cmd import standalone_controller_manager

        standalone_controller_manager.main(context.args)
