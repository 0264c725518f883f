"""Why: sentences, and the facts behind them."""

from __future__ import annotations

from deputize.api.shapes.shape import Answer, Object, Shape, Told


class WhyTold(Shape):
    """A story in sentences for people, and the facts behind it for programs."""

    sentences: list[str]
    facts: Object


_RUN = "3f9d0c6a51b7e2480f6c1d2e"
_NO_RUN = "there is no run '3f9d', or more than one begins so; GET /v1/runs lists them"

ROUTES = {
    "tell_run": Told(
        {
            200: Answer(
                "Its story.",
                WhyTold,
                {
                    "sentences": ["02 Nov 2026, 09:15:00: the automation handle_return began."],
                    "facts": {"run": _RUN, "automation": "handle_return", "steps": []},
                },
            )
        },
        refuses={404: _NO_RUN},
    ),
    "tell_action": Told(
        {
            200: Answer(
                "Its story.",
                WhyTold,
                {
                    "sentences": [
                        "On 02 Nov 2026, 09:15:01 the agent returns-desk asked for payments.refund."
                    ],
                    "facts": {"action": f"{_RUN}/2", "operation": "payments.refund"},
                },
            )
        },
        refuses={404: f"run {_RUN} has no action '9'; GET /v1/runs/{_RUN}/actions has them"},
    ),
}
