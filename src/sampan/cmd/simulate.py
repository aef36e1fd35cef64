"""`sampan sim` on the command line; what it runs is loaded only then."""

from __future__ import annotations

from typing import Annotated

import typer

from sampan.cli.operations import OperationError


def add(app: typer.Typer) -> None:
    """Put the command into the application."""

    @app.command()
    def sim(
        *,
        seed: Annotated[int, typer.Option(min=0, help="What everything at random is drawn from.")] = 1,
        seeds: Annotated[str, typer.Option(help="Several: A-B, both included.", metavar="A-B")] = "",
        scenario: Annotated[str, typer.Option(help="Its name, or all.")] = "all",
        hours: Annotated[float, typer.Option(min=0, help="Of virtual time under faults; 0: as it says.")] = 0.0,
        faults: Annotated[str, typer.Option(help="none, light, heavy, or mixed by seed.")] = "light",
        jobs: Annotated[int, typer.Option(min=0, help="Processes at once; 0: one a processor.")] = 1,
        list_: Annotated[bool, typer.Option("--list", help="Name the scenarios.")] = False,
        keep_going: Annotated[bool, typer.Option("--keep-going", help="Do not end with the first violation.")] = False,
        save_test: Annotated[bool, typer.Option("--save-test", help="Keep a violation as a test.")] = False,
    ) -> None:
        """Run clusters on virtual time, under faults, and check what must hold after every write."""
        from sampan.sim import command

        if list_:
            command.list_scenarios()
            return
        try:
            batch = command.batch_of(scenario, seeds or str(seed), faults, hours * 60)
        except ValueError as error:
            raise OperationError(str(error), "sampan sim --list") from None
        raise typer.Exit(0 if command.run(batch, jobs, save_test=save_test, keep_going=keep_going) else 1)
