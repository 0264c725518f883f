"""The practice town: a shop, payments, mail, SMTP and a chat as real services, with faults on demand.

It stands in for the outside world, so it imports nothing of the rest of the package, and the product never
talks to its hall, where the book, the access log and the expected outcomes are.
"""

from deputize.town.command import main
from deputize.town.handle import Town, TownError
from deputize.town.stories import Event, feed

__all__ = ["Event", "Town", "TownError", "feed", "main"]
