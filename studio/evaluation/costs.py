"""What the training and each way of asking cost in money, on the machine that answers and at the service paid now.

`report["costs"]` holds: `training_wh` (energy, None where it was not readable) and `training_wh_of` ("gpu", "cpu" or
"gpu+cpu"), `training_price_per_hour` of the machine that trained, `price_per_hour` of the one that answers,
`training_money`, `ways` with `per_1000` requests and `per_month` for each way, `now` with the same for the service that
is paid now, and `break_even` with `requests` and `months` until the training has paid for itself against it. All money
is in US dollars; what is not known is None.

The service that is paid now is thought to give the wanted answers: where no other service was asked, its answers are
as long as those (`report["wanted_tokens"]`), since an untuned model may ramble until it is cut.
"""

import math
from typing import Any

from studio.evaluation.ways import BASE, ENDPOINT, TUNED
from studio.preset.schema import PlanSection


def training_price(plan: PlanSection, machine_price: float | None) -> float | None:
    """US dollars an hour of training: it is done here, so the plan's machine counts where this one has no price."""
    return machine_price if machine_price is not None else plan.machine_price_per_hour or None


def price_report(report: dict[str, Any], plan: PlanSection, machine_price: float | None,
                 training_wh: float | None, training_wh_of: str = "") -> dict[str, Any]:
    """The report's `costs` and `plan`; `machine_price` in US dollars an hour is that of this machine."""
    price, trained_at = plan.machine_price_per_hour or machine_price, training_price(plan, machine_price)
    training = None if trained_at is None else trained_at * report["training_seconds"] / 3600
    answered = {way: costs for way, costs in report["ways"].items() if "prompt_tokens" in costs}
    requests = {way: _request_money(way, costs, plan, price) for way, costs in answered.items()}
    now = _now_money(answered, report["wanted_tokens"], plan)
    return {
        "costs": {
            "training_wh": training_wh, "training_wh_of": training_wh_of,
            "training_price_per_hour": trained_at, "price_per_hour": price, "training_money": training,
            "ways": {way: _for_many(money, plan) for way, money in requests.items()},
            "now": None if now is None else _for_many(now, plan),
            "break_even": _break_even(training, now, requests.get(TUNED), plan)},
        "plan": {"use_case": plan.use_case, "good_answer": plan.good_answer,
                 "requests_per_month": plan.requests_per_month},
    }


def _request_money(way: str, costs: dict[str, Any], plan: PlanSection, price: float | None) -> float | None:
    if way == ENDPOINT:
        return _service_money(costs, plan)
    return None if price is None else price * costs["seconds_per_request"] / 3600


def _now_money(answered: dict[str, dict[str, Any]], wanted_tokens: float, plan: PlanSection) -> float | None:
    """Dollars for a request to the service paid now: as it was asked, else for the wanted answer to the bare prompt."""
    if ENDPOINT in answered:
        return _service_money(answered[ENDPOINT], plan)
    return _service_money(answered[BASE] | {"answer_tokens": wanted_tokens}, plan) if answered else None


def _service_money(costs: dict[str, Any], plan: PlanSection) -> float | None:
    """Dollars for a request of so many tokens at the service paid now; None where nobody pays one."""
    prices = plan.price_per_million_input_tokens, plan.price_per_million_output_tokens
    if not any(prices):
        return None
    return (costs["prompt_tokens"] * prices[0] + costs["answer_tokens"] * prices[1]) / 1e6


def _for_many(money: float | None, plan: PlanSection) -> dict[str, float | None]:
    month = plan.requests_per_month
    return {"per_1000": None if money is None else 1000 * money,
            "per_month": None if money is None or not month else month * money}


def _break_even(training: float | None, now: float | None, tuned: float | None,
                plan: PlanSection) -> dict[str, Any] | None:
    """After how many requests the training is cheaper than the service; `requests` is None where it never is."""
    if training is None or now is None or tuned is None:
        return None
    if now <= tuned:
        return {"requests": None, "months": None}
    requests = math.ceil(training / (now - tuned))
    month = plan.requests_per_month
    return {"requests": requests, "months": round(requests / month, 1) if month else None}
