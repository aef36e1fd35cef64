"""`sampan scheduler` in the command line: every argument goes to `standalone_scheduler`, which is loaded only then."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Put the command into the application."""

    @app.command(
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=False,
    )
    def scheduler(context: typer.Context) -> None:
        """Run the scheduler alone, against any API server: sampan scheduler --kubeconfig FILE [--config FILE] …"""
        from sampan.cmd import standalone_scheduler

        standalone_scheduler.main(context.args)
