"""Deputize: an operating layer for ongoing AI work.

These names, and no others, are what projects use.
"""

from deputize.action import Action, attempt, together
from deputize.agent import Agent, agent
from deputize.automation import Automation, Outcome, automation, continue_with, done, gave_up
from deputize.budget import Budget, budget
from deputize.call import Answer, Call, CallDeclined, CallFailed, CallNotDone, CallUnknown
from deputize.clock import days, hours, minutes, seconds
from deputize.connector import Connector
from deputize.errors import ActionError, Declined, DeputizeError, Expired, GaveUp, Refused, Unavailable, Unmet
from deputize.event import Event, EventData
from deputize.money import Money
from deputize.operation import Operation
from deputize.plans.carrying import PlanEnd, PlanStopped
from deputize.plans.plan import Plan
from deputize.plans.planning import carry_out, plan, pursue
from deputize.question import ask
from deputize.signature import hmac_sha256
from deputize.sources import Polled, poll, schedule, webhook
from deputize.thinking import think
from deputize.thought import Message
from deputize.undo import undone_by
from deputize.verification import Intent, Verification, agree, cannot_tell, disagree
from deputize.waits import RunEnded, Sent, new_id, now, random, send, sleep, until, wait_for

__version__ = "0.1.0"

__all__ = [
    "Action",
    "ActionError",
    "Agent",
    "Answer",
    "Automation",
    "Budget",
    "Call",
    "CallDeclined",
    "CallFailed",
    "CallNotDone",
    "CallUnknown",
    "Connector",
    "Declined",
    "DeputizeError",
    "Event",
    "EventData",
    "Expired",
    "GaveUp",
    "Intent",
    "Message",
    "Money",
    "Operation",
    "Outcome",
    "Plan",
    "PlanEnd",
    "PlanStopped",
    "Polled",
    "Refused",
    "RunEnded",
    "Sent",
    "Unavailable",
    "Unmet",
    "Verification",
    "agent",
    "agree",
    "ask",
    "attempt",
    "automation",
    "budget",
    "cannot_tell",
    "carry_out",
    "continue_with",
    "days",
    "disagree",
    "done",
    "gave_up",
    "hmac_sha256",
    "hours",
    "minutes",
    "new_id",
    "now",
    "plan",
    "poll",
    "pursue",
    "random",
    "schedule",
    "seconds",
    "send",
    "sleep",
    "think",
    "together",
    "undone_by",
    "until",
    "wait_for",
    "webhook",
]
