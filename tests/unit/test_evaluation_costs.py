"""What training and requests cost, and from when on the training is the cheaper way."""

import pytest

from studio.evaluation.costs import price_report
from studio.preset.schema import PlanSection

WAYS = {"base": {"prompt_tokens": 100, "answer_tokens": 20, "seconds_per_request": 0.36},
        "tuned": {"prompt_tokens": 50, "answer_tokens": 20, "seconds_per_request": 0.18}}
REPORT = {"training_seconds": 7200.0, "ways": WAYS, "wanted_tokens": 20.0}


def costs(ways=WAYS, machine=None, wh=None, **plan):
    return price_report({**REPORT, "ways": ways}, PlanSection(**plan), machine, wh)["costs"]


def test_time_becomes_money_at_the_price_of_the_machine():
    found = costs(machine=0.5, requests_per_month=10_000)
    assert found["training_money"] == pytest.approx(1.0)
    assert found["ways"]["tuned"]["per_1000"] == pytest.approx(0.18 * 1000 / 3600 * 0.5)
    assert found["ways"]["base"]["per_month"] == pytest.approx(0.36 * 10_000 / 3600 * 0.5)


@pytest.mark.parametrize(("machine", "training"), [(10.0, 20.0), (0.0, 0.0), (None, 0.8)])
def test_training_is_paid_where_it_ran_and_requests_where_they_will(machine, training):
    found = costs(machine=machine, machine_price_per_hour=0.4)
    assert found["training_money"] == pytest.approx(training), "the plan's machine only where this one has no price"
    assert found["ways"]["tuned"]["per_1000"] == pytest.approx(0.18 * 1000 / 3600 * 0.4)


def test_what_is_not_known_stays_open():
    found = costs()
    assert found["training_money"] is found["training_wh"] is found["now"] is found["break_even"] is None
    assert found["ways"]["base"] == {"per_1000": None, "per_month": None}
    assert costs(machine=0.5)["ways"]["base"]["per_month"] is None, "nobody said how many requests"


def test_the_service_paid_now_is_priced_by_tokens_and_paid_off_at_some_request():
    found = costs(machine=0.5, price_per_million_input_tokens=10, price_per_million_output_tokens=30,
                  requests_per_month=1000)
    now = (100 * 10 + 20 * 30) / 1e6
    assert found["now"] == {"per_1000": pytest.approx(1000 * now), "per_month": pytest.approx(1000 * now)}
    saved = now - 0.18 / 3600 * 0.5
    assert found["break_even"] == {"requests": pytest.approx(1.0 / saved, abs=1),
                                   "months": pytest.approx(1.0 / saved / 1000, abs=0.1)}


@pytest.mark.parametrize("rambling", [30, 64, 256])
def test_the_untuned_models_rambling_is_no_bill_of_the_service(rambling):
    ways = WAYS | {"base": WAYS["base"] | {"answer_tokens": rambling}}
    found = costs(ways, machine=0.5, price_per_million_input_tokens=10, price_per_million_output_tokens=30)
    assert found["now"]["per_1000"] == pytest.approx(1000 * (100 * 10 + 20 * 30) / 1e6)


def test_another_service_that_was_asked_has_its_own_tokens():
    ways = WAYS | {"endpoint": {"prompt_tokens": 400, "answer_tokens": 10, "seconds_per_request": 2.0}}
    found = costs(ways, machine=0.5, price_per_million_input_tokens=10)
    assert found["ways"]["endpoint"]["per_1000"] == found["now"]["per_1000"] == pytest.approx(4.0)


def test_a_training_that_a_cheap_service_never_pays():
    found = costs(machine=50, price_per_million_input_tokens=0.01)
    assert found["break_even"] == {"requests": None, "months": None}


def test_plain_text_has_no_requests_to_pay():
    found = costs({"base": {}, "tuned": {}}, machine=0.5, price_per_million_input_tokens=1)
    assert found["ways"] == {} and found["now"] is None and found["training_money"] == pytest.approx(1.0)
