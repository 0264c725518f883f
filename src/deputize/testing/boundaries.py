"""Every step that a crash may fall before or after, in the order of an action's life.

The product calls `boundary(name)` at each of them; the crash harness kills the process there. A test
compares this list with the names in the source. `.in` is inside a transaction that is not committed.
"""

from __future__ import annotations

SENDING = "send.during"
ANSWERED = "send.answered"

BOUNDARIES: dict[str, str] = {
    # events
    "intake.before": "an event was checked, and nothing of it is kept",
    "intake.in": "an event is kept, its runs are not begun, and nothing is committed",
    "intake.after": "the event and its runs are durable, and nobody was told",
    # reads
    "read.before": "a read was judged, and is not sent",
    "read.after": "a read was answered, and its result is nowhere",
    "read.in": "a read's result is written, and not committed",
    "rehearsed.in": "what a rehearsal came to is written, and not committed",
    # asking people
    "t1.in": "rules ask for people's word, what is asked of them is written, and not committed",
    "t1.after": "people are asked, and the run is still in memory",
    "whole.before": "a plan is foreseen, or its grant is looked for, and nothing of it is written",
    "whole.in": "people are asked for a plan, or have granted it, and that is not committed",
    "whole.after": "that they are asked for a plan, or have granted it, is durable, and nobody was told",
    "approve.before": "a person approves, and nothing of it is written",
    "approve.in": "the approval is written, and not committed",
    "approve.after": "the approval is durable, and its action was not told",
    "refuse.before": "a person refuses, and nothing of it is written",
    "refuse.after": "the refusal is durable, and its run does not know",
    "change.before": "a person changes the arguments, and nothing of it is written",
    "change.after": "the change is durable, and its run does not know",
    "hand.before": "a person hands a card on to the keeper, and nothing of it is written",
    "hand.in": "that a card is handed on is written, and not committed",
    "hand.after": "that a card is handed on is durable, and nobody was told",
    "answer.in": "a refusal or a change is written, and not committed",
    # the start
    "ask": "an action has come to the gate",
    "t2.before": "the action has its turn, and nothing is written",
    "t2.in": "judged, leased, reserved and counted, and not committed",
    "t2.after": "the intent is durable, and nothing is sent",
    # the sending
    "send.before": "the intent is about to be sent",
    SENDING: "the whole request is on its way, and no answer has come",
    ANSWERED: "the service has answered, and the answer is not read",
    "send.after": "the answer is read, and nothing of it is written",
    # the outcome
    "t3.before": "a success is known, and its receipt is not given to the writer",
    "t3.in": "the receipt is about to be written",
    "t3.after": "an outcome is durable, and those who wait for its leases are not told",
    "settle.before": "a no is known (declined, refused), and not given to the writer",
    "settle.in": "a no is written, and not committed",
    "drift.in": "an answer that does not fit is written, and not committed",
    "attempt.before": "another attempt was decided, and is not written",
    "attempt.in": "another attempt is written, and not committed",
    "attempt.after": "another attempt is durable, and not sent",
    # doubt
    "t4.before": "nobody knows the outcome, and that is not written",
    "t4.in": "the doubt is written, and not committed",
    "t4.after": "the doubt is durable, and nobody looks after it",
    "resolve.look_up": "the service is about to be asked what became of an action",
    "resolve.told": "the service has said what became of it, and nothing follows from that yet",
    "resolve.found": "the service knows the action, and the receipt is not written",
    "resolve.absent": "the service's word proves that nothing happened, and nothing follows from that yet",
    "resolve.repeat": "the same key is about to be made durable again",
    "resolve.again": "a new round is written, and not committed",
    "resolve.card": "a doubt is about to become a card",
    "resolve.carding": "the card is written, and not committed",
    # waits and events between runs
    "waiting.before": "a run is about to wait, and that is not written",
    "waiting.after": "the wait is durable, and its timer is not set",
    "woke.before": "a time has come, and nothing is written",
    "woke.in": "the end of a wait is written, and not committed",
    "woke.after": "the end of a wait is durable, and its run does not know",
    "sent.in": "an event of a run is kept, and not committed",
    "sent.after": "an event of a run is durable, and its receivers are not begun",
    "question.in": "an answer to a question is written, and not committed",
    "question.after": "the answer is durable, and its run does not know",
    # ends and stops
    "ended.before": "a run has come to its end, and that is not written",
    "ended.after": "the end is durable, and the run behind it is not begun",
    "stuck.before": "a run does not match its record, and that is not written",
    "stuck.after": "the stuck run is durable, and still in memory",
    "unstuck.in": "a stuck run goes on, and that is not committed",
    "cancel.in": "a cancellation is about to be thrown, and that is not committed",
    "cancel.after": "the cancellation is durable, and not thrown",
    "unwind.in": "a run is to be undone, and that is not committed",
    "unwind.begun": "a run is to be undone, and nothing of it is begun",
    "unwind.next": "the next undoing action is known, or that there is none, and nobody was told",
    "unwind.ending": "the end of undoing is written, and not committed",
    # people
    "people.answered": "a person's answer is written, and not committed",
    "people.taking": "an answer is being taken in, and nothing is committed",
    "people.taken": "the answer is taken in, and nobody was told",
    "people.wished": "a person's wish to cancel is durable, and the run does not know",
    # commits
    "group.before_commit": "every work of a shared commit is done, and it is not committed",
    "group.after_commit": "the shared commit is durable, and nobody was told",
    # recovery
    "recovery.opened": "a new owner has opened the ledger, and nothing is recovered",
    "recovery.doubting": "an open intent of an earlier owner became a doubt, and it is not committed",
    "recovery.doubted": "open intents of earlier owners are doubts, and nobody looks after them",
    "recovery.begun": "everything is taken up again, and nothing has moved",
}
