from services.common.money import Money


def test_many_pieces_cost_exactly_that_many_times_one() -> None:
    assert Money("EUR", 10).times(3) == Money("EUR", 30)
    assert Money("EUR", 10**12).times(10_000) == Money("EUR", 10**16)


def test_the_same_amount_in_another_currency_is_other_money() -> None:
    assert Money("EUR", 10) != Money("USD", 10)
