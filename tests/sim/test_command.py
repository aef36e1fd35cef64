"""What `sampan sim` makes of its arguments."""

from __future__ import annotations

import math

import pytest
import typer
from typer.testing import CliRunner

from sampan.cmd import simulate
from sampan.sim.command import _hours, batch_of
from sampan.sim.scenarios.table import SCENARIOS


def test_seeds_times_scenarios() -> None:
    batch = batch_of("all", "3-5", "mixed", 0.0)
    assert len(batch) == 3 * len(SCENARIOS)
    assert {batch.trial(number).seed for number in range(len(batch))} == {3, 4, 5}


@pytest.mark.parametrize("minutes", [-1.0, math.nan, math.inf])
def test_a_time_that_is_none_is_refused_for_nothing_would_be_proven(minutes: float) -> None:
    with pytest.raises(ValueError, match="are no length of time"):
        batch_of("jobs", "1", "light", minutes)


@pytest.mark.parametrize("hours", [0.05, 2 / 60, 1 / 3, 24.0, 0.1])
def test_the_command_that_plays_it_again_names_the_same_time(hours: float) -> None:
    assert float(_hours(hours * 60)) * 60 == hours * 60
    assert _hours(3.0) == "0.05"


@pytest.mark.parametrize("seeds", ["5-1", "a", "1-x", "-3", ""])
def test_seeds_of_another_form_are_refused(seeds: str) -> None:
    with pytest.raises(ValueError, match="are not of the form A-B"):
        batch_of("jobs", seeds, "light", 0.0)


def test_names_that_are_none_are_answered_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="there are deployments, statefulsets"):
        batch_of("deploymets", "1", "light", 0.0)
    with pytest.raises(ValueError, match="there are none, light, heavy, mixed"):
        batch_of("jobs", "1", "hard", 0.0)


@pytest.mark.parametrize("argument", ["--seed=-3", "--jobs=-1", "--hours=-1"])
def test_numbers_below_zero_are_refused_with_the_options_name(argument: str) -> None:
    app = typer.Typer()
    simulate.add(app)
    answer = CliRunner().invoke(app, [argument])
    assert answer.exit_code == 2 and argument.partition("=")[0] in answer.output
