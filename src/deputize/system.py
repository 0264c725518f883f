"""The composition root: the only place where parts are wired."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from deputize import __version__, canonical
from deputize.agent import Agent
from deputize.clock import Clock, SteadyClock, SystemClock
from deputize.config import Settings
from deputize.connectors.connections import Connections
from deputize.connectors.perform import look_up, perform, rehearse
from deputize.connectors.secret import Secrets
from deputize.connectors.settings import ConnectorSettings
from deputize.entering.entrance import Entrance
from deputize.errors import ProjectError, StoreLost
from deputize.kernel.judging import InForce
from deputize.kernel.kernel import Given, Kernel
from deputize.kernel.lanes import Lane, kept_from_batch
from deputize.kernel.ports import Boundary, no_boundary
from deputize.kernel.ruling import note_params, put_rules_in_force
from deputize.kernel.sources import Sources
from deputize.kernel.time import Calendar, LedgerTime
from deputize.kernel.tokens import Opener
from deputize.kernel.watchdog import Watchdog, disarm
from deputize.latency import Latency
from deputize.memory import check_notes
from deputize.models.line import Line
from deputize.models.local import is_local
from deputize.models.settings import ModelSettings
from deputize.notify.channels import Channel, open_channels
from deputize.notify.links import Links
from deputize.notify.notifier import Given as Telling
from deputize.notify.notifier import Notifier
from deputize.notify.settings import NotifySettings
from deputize.operation import Operation
from deputize.processor import OneProcessor
from deputize.project import Project, load_project
from deputize.sources import Poll
from deputize.span import provider_of
from deputize.store.protocol import Store
from deputize.store.sqlite.store import SqliteStore
from deputize.store.telling import rules_changed
from deputize.telemetry.telemetry import Given as Told
from deputize.telemetry.telemetry import Telemetry
from deputize.telemetry.writing import Lines


def restart_process(reason: str) -> None:
    """End and begin again with the same words: held threads cannot be taken back."""
    sys.stderr.write(f"deputize: restarting: {reason}\n")
    sys.stderr.flush()
    disarm()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class ConnectorPerformer:
    """Performs operations and polls through the project's connections. See `deputize.kernel.ports`."""

    def __init__(
        self, connections: Connections, secrets: Secrets, clock: Clock, latencies: Mapping[str, Latency]
    ) -> None:
        self._connections = connections
        self._secrets = secrets
        self._clock = clock
        self._latencies = latencies

    async def perform(self, operation: Operation[..., Any], args: bytes, *, key: str, attempt: int) -> bytes:
        connector = operation.contract.connector
        connection, sent_s = self._connections.get(connector), self._clock.monotonic()
        try:
            return await perform(operation, connection, args, key=key, attempt=attempt, secrets=self._secrets)
        finally:
            self._latencies[connector].add(self._clock.monotonic() - sent_s)

    async def look_up(self, operation: Operation[..., Any], args: bytes, *, key: str) -> bytes | None:
        connection = self._connections.get(operation.contract.connector)
        return await look_up(operation, connection, args, key=key, secrets=self._secrets)

    async def rehearse(self, operation: Operation[..., Any], args: bytes) -> bytes:
        connection = self._connections.get(operation.contract.connector)
        return await rehearse(operation, connection, args, secrets=self._secrets)

    async def poll(self, poll: Poll, cursor: str) -> bytes:
        connection = self._connections.get(poll.connector)
        args = canonical.encode({"cursor": cursor})
        return await perform(poll.operation, connection, args, key="", attempt=1, secrets=self._secrets)


class System:
    """One project on one ledger. Make it, `start` it on a running loop, `stop` it. `watchdog` and `processor`
    change the whole process, so they are for entry points.

    Raises `ProjectError` where the project does not load and `LedgerOwned` where another process
    has its ledger.
    """

    def __init__(
        self,
        project: Project,
        *,
        clock: Clock | None = None,
        boundary: Boundary = no_boundary,
        seed: int | None = None,
        on_lost: Callable[[StoreLost], None] | None = None,
        restart: Callable[[str], None] = restart_process,
        watchdog: Watchdog | None = None,
        processor: OneProcessor | None = None,
        opener: Opener | None = None,
    ) -> None:
        self.project = project
        self._processor = processor
        self._watching: asyncio.Task[None] | None = None
        settings = project.settings
        clock = SteadyClock(clock or SystemClock())
        self.secrets = Secrets(settings.root, settings.environ)
        self.connections = Connections(settings.connectors, self.secrets, settings.environ, clock=clock)
        self.store: Store = SqliteStore(
            settings.ledger,
            clock,
            scrub=self.secrets.scrub,
            on_lost=on_lost,
            boundary=None if boundary is no_boundary else boundary,
        )
        clock.go_on_from(self.store.read(lambda view: view.last_at()))
        self.time = LedgerTime(clock)
        for line in project.models.values():
            line.connect(self.secrets, settings.environ)
        for webhook in project.webhooks.values():
            self.secrets.resolve(webhook.verifier.secret)
        if held := check_notes(project.agents.values(), self.secrets):
            raise ProjectError("\n".join(held))
        self.latencies = {name: Latency() for name in project.connectors}
        performer = ConnectorPerformer(self.connections, self.secrets, clock, self.latencies)
        self.kernel = self._new_kernel(
            performer,
            clock,
            boundary,
            Random(seed),
            restart,
            watchdog or Watchdog(None),
            opener or Opener(),
        )
        self.entrance = Entrance(self.kernel.sessions, lambda: self.kernel.parts.force.directory, clock)
        self.sources = Sources(
            self.kernel.parts,
            self.kernel.intake,
            performer,
            tuple(project.polls.values()),
            tuple(project.schedules.values()),
            settings.zone,
            self.secrets.scrub,
        )
        self.links, self.notifier = self._new_notifier(settings.notify or NotifySettings())
        self.kernel.approving.handed = self.notifier.look_again
        self.changing = asyncio.Lock()
        """Held by whoever changes the files of the project: one after the other."""
        self._since: dict[str, Any] | None = None
        self.lines = Lines()
        self.telemetry = self._new_telemetry()

    def _new_kernel(
        self,
        performer: ConnectorPerformer,
        clock: Clock,
        boundary: Boundary,
        random: Random,
        restart: Callable[[str], None],
        watchdog: Watchdog,
        opener: Opener,
    ) -> Kernel:
        project, settings = self.project, self.project.settings
        budgets = settings.budgets + tuple(b for a in project.agents.values() for b in a.budgets)
        return Kernel(
            Given(
                store=self.store,
                time=self.time,
                performer=performer,
                force=InForce(
                    project.rules,
                    budgets,
                    Calendar(settings.zone),
                    settings.directory,
                    project.operations,
                ),
                automations=project.automations,
                operations=project.operations,
                agents=project.agents,
                params=lambda name: self.project.settings.params.get(name, {}),
                lane=lambda scope: _lane(scope, clock, settings, project.agents),
                circuit=lambda name: _limits(name, settings).circuit.terms,
                inbox_full_at=settings.inbox_full_at,
                boundary=boundary,
                random=random,
                restart=restart,
                watchdog=watchdog,
                opener=opener,
            )
        )

    def _new_notifier(self, telling: NotifySettings) -> tuple[Links, Notifier]:
        project, settings = self.project, self.project.settings
        channels: dict[str, Channel] = open_channels(telling, self.secrets)
        links = Links(settings.data, telling.console)
        return links, Notifier(
            Telling(
                store=self.store,
                settings=telling,
                channels=channels,
                links=links,
                zone=settings.zone,
                people=lambda: self.kernel.parts.force.directory,
                now=self.time.now_us,
                clean=self.secrets.scrub,
                schemas={name: op.contract.output_schema for name, op in project.operations.items()},
            )
        )

    def _new_telemetry(self) -> Telemetry:
        project, settings = self.project, self.project.settings
        return Telemetry(
            Told(
                store=self.store,
                ledger=settings.ledger,
                target=settings.telemetry.target(self.secrets, settings.environ),
                level=settings.telemetry.log,
                service=settings.name,
                version=__version__,
                models={line.operation.name: _model(line) for line in project.models.values()},
                environ=settings.environ,
            )
        )

    @classmethod
    def open(cls, root: Path, **options: Any) -> System:
        """Load the project in a folder and take its ledger."""
        return cls(load_project(root), **options)

    async def start(self) -> None:
        """Recover what a former owner left, and begin.

        Raises `ProjectError` where a model that runs here does not start.
        """
        for line in self.project.models.values():
            await asyncio.to_thread(line.prepare)
        await self.kernel.start()
        if self._processor is not None:
            self._watching = asyncio.get_running_loop().create_task(self._processor.watch())
        self.sources.start()
        self.notifier.start()
        await self.telemetry.start()

    async def change_rules(
        self,
        project: Project,
        change: Mapping[str, Any],
        by: str,
        approved: tuple[str, str] | None = None,
    ) -> None:
        """Put the rules of the same project in force from here on; see `put_rules_in_force`.

        Raises `NotAnswerable` where others came into force meanwhile.
        """
        was = self.project.rules.digest
        await put_rules_in_force(self.kernel.parts, project.rules, was, change, by, approved)
        self.project, self._since = project, None

    def rules_since(self) -> dict[str, Any] | None:
        """When the rules in force came into force, and by whom. See `rules_changed`."""
        if self._since is None:
            # Read once: the system's stream may be long, and nothing but a change makes another of it.
            self._since = self.store.read(lambda view: rules_changed(view, self.project.rules.digest))
        return self._since

    async def change_params(self, project: Project, change: Mapping[str, Any], by: str) -> None:
        """Give runs that begin from here on the parameters of the same project; a person answers for them."""
        await note_params(self.kernel.parts, change, by)
        self.project = project

    async def stop(self) -> None:
        """Let go of everything; nothing is lost."""
        if self._watching is not None:
            self._watching.cancel()
        await self.notifier.stop()
        await self.sources.stop()
        await self.kernel.stop()
        await self.telemetry.stop()
        for line in self.project.models.values():
            line.close()
        await self.connections.aclose()
        self.store.close()


def _model(line: Line) -> tuple[str, str, bool]:
    """A model's provider and name as traces call them, and whether it runs here."""
    provider, _, name = line.settings.model.partition(":")
    return provider_of(provider), name, is_local(line.settings.model)


def _lane(scope: str, clock: Clock, settings: Settings, agents: Mapping[str, Agent]) -> Lane:
    kind, _, name = scope.partition(":")
    if kind == "agent":
        agent = agents[name]
        return Lane(clock, agent.concurrent_max, agent.per_second_max)
    limits = _limits(name, settings)
    in_process = isinstance(limits, ConnectorSettings) and limits.base is None
    places = 1_000 if in_process else limits.concurrent_max
    others = any(agent.service_level != "batch" for agent in agents.values())
    return Lane(clock, places, limits.per_second_max, kept=kept_from_batch(places) if others else 0)


def _limits(connector: str, settings: Settings) -> ConnectorSettings | ModelSettings:
    return settings.models.get(connector) or settings.connectors.get(connector) or ConnectorSettings()
