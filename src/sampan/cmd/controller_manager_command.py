"""`sampan controller-manager` in the command line: every argument goes to `standalone_controller_manager`."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Put the command into the application."""

    @app.command(
        "controller-manager", add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def controller_manager(context: typer.Context) -> None:
        """Run the controllers alone, against any API server: sampan controller-manager --kubeconfig FILE …"""
        from sampan.cmd import standalone_controller_manager  # loaded only then

        standalone_controller_manager.main(context.args)
