"""Quantities: canonical text, arithmetic, rounding and messages as upstream's resource.Quantity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery.quantity import FORMAT_WRONG, SUFFIX_WRONG, Format, Quantity, QuantityError, canonical

CANONICAL = [
    ("0", "0"), ("0Ki", "0"), ("1", "1"), ("1000m", "1"), ("1500m", "1500m"), ("0.5", "500m"), (".5", "500m"),
    ("1.5Gi", "1536Mi"), ("1024Ki", "1Mi"), ("1024", "1024"), ("1000", "1k"), ("1000k", "1M"), ("1e3", "1e3"),
    ("1E3", "1e3"), ("100e1", "1e3"), ("1e-3", "1e-3"), ("2.0", "2"), ("0.001", "1m"), ("0.0001", "100u"),
    ("1n", "1n"), ("0.1n", "1n"), ("1u", "1u"), ("-1", "-1"), ("+1", "1"), ("-1.5Gi", "-1536Mi"), ("0.5Ki", "512"),
    ("0.5Mi", "512Ki"), ("1Ei", "1Ei"), ("8Ei", "9223372036854775807"), ("1.2Ki", "1228800m"), ("100Mi", "100Mi"),
    ("1E", "1E"), ("12345678", "12345678"), ("1.", "1"), ("1e0", "1"), ("0.1Ki", "102400m"), ("1000Mi", "1000Mi"),
]


@pytest.mark.parametrize(("text", "expected"), CANONICAL)
def test_the_canonical_text_is_upstreams(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1.2.3", "1GiB", "0x10", "1,5", "٣", "1Gi\n2", "1_000"])
def test_what_is_no_number_gets_the_grammar(text: str) -> None:
    with pytest.raises(QuantityError) as caught:
        Quantity.parse(text)
    assert str(caught.value) == FORMAT_WRONG


@pytest.mark.parametrize("text", ["1Kii", "1mm", "1KiM", "1e", "1i", "1K", "--1", "1ee3", "1e9999999999", "1M5"])
def test_an_unknown_suffix_is_named_as_the_trouble(text: str) -> None:
    with pytest.raises(QuantityError, match=SUFFIX_WRONG):
        Quantity.parse(text)


def test_numbers_of_json_are_quantities_too() -> None:
    assert canonical(2) == "2"
    assert canonical(0.5) == "500m"
    with pytest.raises(QuantityError):
        Quantity.parse(True)


def test_values_round_up_away_from_zero() -> None:
    assert Quantity.parse("1500m").value == 2
    assert Quantity.parse("1n").milli_value == 1
    assert Quantity.parse("-1500m").value == -2
    assert Quantity.parse("1Ki").value == 1024
    assert str(Quantity.parse("1234567n").rounded_up(-3)) == "2m"


def test_a_sum_keeps_the_left_format_unless_it_is_zero() -> None:
    assert str(Quantity.parse("1Gi") + Quantity.parse("1Gi")) == "2Gi"
    assert str(Quantity.parse("0") + Quantity.parse("1Gi")) == "1Gi"
    assert str(Quantity.parse("1Gi") - Quantity.parse("512Mi")) == "512Mi"
    assert str(Quantity.parse("1") - Quantity.parse("250m")) == "750m"
    assert str(Quantity.parse("250m") * 3) == "750m"


def test_comparison_ignores_format() -> None:
    assert Quantity.parse("1024Ki") == Quantity.parse("1048576")
    assert hash(Quantity.parse("1000m")) == hash(Quantity.parse("1"))
    assert Quantity.parse("1G") < Quantity.parse("1Gi")
    assert not Quantity.parse("0")


quantities = st.builds(Quantity, st.integers(-(2**62), 2**62), st.sampled_from(Format))


@given(quantities)
def test_the_canonical_text_reads_back_as_the_same_quantity(quantity: Quantity) -> None:
    """A binary quantity that no binary suffix divides is written in plain digits, which read as a decimal one."""
    assert Quantity.parse(str(quantity)) == quantity
    text = canonical(str(quantity))
    assert Quantity.parse(text) == quantity and canonical(text) == text


@given(quantities, quantities)
def test_addition_and_subtraction_undo_each_other(left: Quantity, right: Quantity) -> None:
    assert left + right - right == left
    assert left + right == right + left
    assert (left < right) == (left - right < Quantity(0))


@given(st.text(alphabet="0123456789.+-eEinumkKMGTP ", max_size=12))
def test_any_text_is_a_quantity_or_an_error_of_ours(text: str) -> None:
    try:
        quantity = Quantity.parse(text)
    except QuantityError:
        return
    assert Quantity.parse(str(quantity)) == quantity
