"""What the training and each way of asking cost in money, on the machine that answers and at the service paid now.

`report["costs"]` holds: `training_wh` (energy, None where it was not readable) and `training_wh_of` ("gpu", "cpu" or
"gpu+cpu"), `price_per_hour` of the machine,
`training_money`, `ways` with `per_1000` requests and `per_month` for each way, `now` with the same for the service that
is paid now, and `break_even` with `requests` and `months` until the training has paid for itself against it. All money
is in US dollars; what is not known is None.
"""

import math
from typing import Any

from studio.evaluation.ways import BASE, ENDPOINT, TUNED
from studio.preset.schema import PlanSection


def price_report(report: dict[str, Any], plan: PlanSection, machine_price: float | None,
                 training_wh: float | None, training_wh_of: str = "") -> dict[str, Any]:
    """The report's `costs` and `plan`; `machine_price` in US dollars an hour is that of this machine."""
    price = plan.machine_price_per_hour or machine_price
    training = None if price is None else price * report["training_seconds"] / 3600
    answered = {way: costs for way, costs in report["ways"].items() if "prompt_tokens" in costs}
    requests = {way: _request_money(way, costs, plan, price) for way, costs in answered.items()}
    now = _service_money(answered.get(ENDPOINT, answered.get(BASE)), plan)
    return {
        "costs": {
            "training_wh": training_wh, "training_wh_of": training_wh_of, "price_per_hour": price,
            "training_money": training,
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


def _service_money(costs: dict[str, Any] | None, plan: PlanSection) -> float | None:
    """Dollars for a request of so many tokens at the service paid now; None where nobody pays one."""
    prices = plan.price_per_million_input_tokens, plan.price_per_million_output_tokens
    if costs is None or not any(prices):
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
