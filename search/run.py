"""The whole job: a space in, an exported model and a report out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from search.audience import Audience
from search.catalog import Catalog
from search.console import open_audience
from search.engine.base import Engine, Runner
from search.engine.job import ProbeJob
from search.engine.local import LocalEngine
from search.engine.ray import RayEngine
from search.finish.final import Final
from search.finish.finish import finish, finish_once
from search.finish.place import FinishPlace
from search.finish.whereabouts import Whereabouts
from search.fork import Descent, fork, warm_start
from search.host import Host
from search.interruption import Stop, interruption
from search.origin import read_origin, write_origin
from search.placing import Placing, open_engine, seats_on
from search.preflight import preflight, require_arithmetic
from search.renaming import require_whole
from search.report import StudyReport, summarise
from search.room import ROOM_FILE, Ask, RoomBook, SpaceRoom, Surveyor, survey
from search.seats import Seats, Wish, arrange
from search.space import Space
from search.space_file import CardChoice
from search.storage.patience import heeding
from search.storage.storage import require_existing, storage_errors
from search.storage.url import sqlite_url
from search.study import StudyHandle, best_trial, open_study, require_study
from search.tenancy import tenant
from search.worker import Workplace, search
from trainer import (
    CardSpec,
    Silent,
    UserError,
    WorkerLost,
    disk_errors,
    show_size,
    sized_card,
    unheeded_settings,
    write_json,
)


@dataclass(frozen=True)
class RunOptions:
    """What the command line says beside the space. settings: the --set values the space was read with.

    rehearse: the CPU plays the space's card. jobs: trials at a time; None: as many as are sensible. engine,
    address: where trials run, as in `placing.open_engine`. warm_start, fork: what the study begins with.
    """

    studies_dir: Path = Path("studies")
    storage: str | None = field(default=None, repr=False)
    name: str | None = None
    n_trials: int | None = None
    time_s: float | None = None
    finish: bool = True
    rehearse: bool = False
    jobs: int | None = None
    engine: str = "local"
    address: str | None = None
    warm_start: str | None = None
    fork: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def run_space(space: Space, *, options: RunOptions) -> StudyReport:
    """Search `space` within its budget, then retrain the best trial, test and export it.

    Everything that can be wrong with data, model or space is found before anything is written.

    Raises:
        UserError: exit 2, nothing was changed. StudyEnded: exit 3. Interrupted: Ctrl-C while the
            storage was away.
    """
    started = time.monotonic()
    require_whole(options.name or space.name, options.studies_dir)
    descent = _descent(_with_options(space, options), options)
    space = descent.space
    directory = options.studies_dir / space.name
    placing = Placing()
    with (
        open_audience() as audience,
        open_engine(options.engine, options.address, placing) as engine,
        ExitStack() as stack,
    ):
        if descent.note:
            audience.say(descent.note)
        preflight(space, say=audience.say)
        url = options.storage or _sqlite(options.studies_dir, space.name)
        require_study(space, storage_url=url)
        table = _table(space, engine, audience)
        require_arithmetic(space, cards=table.each())
        surveyor = Surveyor(engine, audience, table.planned)
        room = _survey(space, table, ask=surveyor, say=audience.say)
        carry = descent.carry(card=room.card if room else None)
        stack.enter_context(tenant(url, home=options.studies_dir))
        require_whole(space.name, options.studies_dir)  # again: who came in may have waited for a renaming
        handle = open_study(space, storage_url=url, room=room, say=audience.say, carry=carry)
        _note(directory, space, options=options, room=room)
        rooms = placing.rooms = RoomBook(space, room, ask=surveyor) if room else None
        wish = Wish(options.jobs, space.budget.trials)
        seats = _seats(engine, placing, wish, table=table, room=room)
        audience.say(seats.line())
        workplace = Workplace(directory, engine, audience, table.card, rooms=rooms, seats=seats)
        end = search(handle, workplace=workplace)
        final = None
        interrupted = end.interrupted
        if options.finish and space.finish.retrain and not interrupted:
            final, interrupted = _finish(handle, _at_home(workplace, space, room), finish_once)
    return replace(
        summarise(handle, directory, final=final), seconds=elapsed(started), interrupted=interrupted
    )


def _seats(engine: Engine, placing: Placing, wish: Wish, *, table: _Table, room: SpaceRoom | None) -> Seats:
    if isinstance(engine, RayEngine):
        placing.reserved_bytes = max((card.reserved_bytes for card in table.each()), default=0)
        return seats_on(engine, placing, wish)
    return arrange(wish, host=Host(), cards=table.cards, room=room)


@dataclass(frozen=True)
class RetrainOptions:
    """What `retrain` may choose: a trial, not the best confirmed one; a template, not the space's.

    storage: its URL, where it needs a password that is not kept with the study.
    """

    studies_dir: Path = Path("studies")
    trial: int | None = None
    template: str | None = None
    storage: str | None = None


def retrain_study(name: str, *, options: RetrainOptions) -> StudyReport:
    """Make the final model of the study `name` again, from its best trials so far.

    Raises:
        UserError: there is no such study here, no trial of it completed, or no such trial or template.
    """
    started = time.monotonic()
    require_whole(name, options.studies_dir)
    directory = options.studies_dir / name
    origin = read_origin(directory)
    url = options.storage or origin.storage_url
    with open_audience() as audience, ExitStack() as stack:
        space = origin.load_space(say=audience.say)
        own_template = options.template in (None, space.finish.template)
        if options.template is not None:
            space = space.finished_with(options.template)
        require_existing(url)
        stack.enter_context(tenant(url, home=options.studies_dir))
        require_existing(url)  # again: who came in may have waited for its deletion
        handle = open_study(space, storage_url=url, say=audience.say)
        if best_trial(handle) is None:
            again = f"go on with cp-search run {space.path}"
            raise UserError(f"study {name} has no completed trial to retrain; {again}")
        _require_trial(handle, options.trial)
        engine = LocalEngine()
        workplace = Workplace(directory, engine, audience, _table(space, engine, audience).card)
        work = partial(finish, trial=options.trial, own_template=own_template)
        final, interrupted = _finish(handle, workplace, work)
    return replace(
        summarise(handle, directory, final=final), seconds=elapsed(started), interrupted=interrupted
    )


def _require_trial(handle: StudyHandle, number: int | None) -> None:
    complete = [trial.number for trial in handle.trials(TrialState.COMPLETE)]
    if number is not None and number not in complete:
        there = ", ".join(map(str, complete))
        raise UserError(f"--trial {number}: no completed trial of study {handle.name}; there are: {there}")


def elapsed(started: float) -> float:
    """Seconds since `started` (monotonic), to a tenth."""
    return round(time.monotonic() - started, 1)


def _with_options(space: Space, options: RunOptions) -> Space:
    space = space.within(trials=options.n_trials, time_s=options.time_s)
    card = rehearsed(space) if options.rehearse else space.card
    # A fork is made from the study of the space's own name.
    name = space.name if options.fork else options.name or space.name
    return replace(space, name=name, card=card)


def _descent(space: Space, options: RunOptions) -> Descent:
    catalog = Catalog(options.studies_dir, options.storage)
    if options.fork and options.warm_start is not None:
        raise UserError("--fork and --warm-start: a study begins with one other; leave one out")
    if options.fork:
        return fork(space, name=options.name, catalog=catalog)
    if options.warm_start is not None:
        return warm_start(space, options.warm_start, catalog)
    return Descent(space)


def rehearsed(space: Space) -> CardChoice:
    """The space's card, played by the CPU.

    Raises:
        ConfigError: the space names none.
    """
    if space.card is None or not (space.card.memory or space.card.name):
        message = "--rehearse: the space names no card for the CPU to play; add card: {memory: 4GiB}"
        raise space.problem_at(("card",), message)
    return space.card.model_copy(update={"virtual": True})


def _sqlite(studies_dir: Path, name: str) -> str:
    return sqlite_url(studies_dir / f"{name}.db")


@dataclass(frozen=True)
class _Table:
    """The cards on the table.

    card: what the finish runs under (None: whatever is here). planned: what memory is planned on, which may
    be a card that is not here; None: the device that is. name: of that card; None: no card, no plan. cards:
    those that trials run on.
    """

    card: CardSpec | None
    planned: CardSpec | None
    name: str | None
    cards: tuple[CardSpec, ...] = ()

    def each(self) -> tuple[CardSpec, ...]:
        """Those that trials run on, and the one that is planned for."""
        return (*self.cards, *((self.planned,) if self.planned else ()))


def _table(space: Space, engine: Runner, audience: Audience) -> _Table:
    """Which card there is and which is meant; says so when the one the space is meant for is not here."""
    wanted = _wanted(space.card)
    virtual = wanted is not None and wanted.virtual
    devices = () if virtual else _probe(engine)
    found = devices[0].name if devices else None
    audience.say(_card_line(wanted, found))
    for line in unheeded_settings(
        space.base_config().config, device="virtual" if virtual else "cuda" if found else "cpu"
    ):
        audience.say(line)
    cards = tuple(replace(wanted, index=device.index) if wanted else device for device in devices)
    if wanted is not None and virtual:
        cards = (wanted,)
    return _Table(wanted if cards else None, wanted, wanted.name if wanted else found, cards)


def _survey(space: Space, table: _Table, *, ask: Ask, say: Callable[[str], None]) -> SpaceRoom | None:
    """What of the space the card can hold, said in a few lines; None without a card."""
    if table.name is None:
        return None
    assumed = table.planned is not None and table.planned.assumed and table.planned.reserved_bytes
    beside = f", with {show_size(assumed)} assumed for CUDA itself (card.context)" if assumed else ""
    say(f"Planning what {table.name} can hold of the space{beside}")
    room = survey(space, card=table.name, ask=ask)
    for line in room.lines(space):
        say(line)
    return room


def _wanted(choice: CardChoice | None) -> CardSpec | None:
    """The card the space names; a memory size decides over what is known of the name."""
    if choice is None or not (choice.memory or choice.name):
        return None
    name, size = choice.name or "", choice.memory or choice.name or ""
    spec = sized_card(name, size, virtual=choice.virtual, context=choice.context)
    return replace(spec, name=" ".join(filter(None, (choice.name, choice.memory))))


def _card_line(wanted: CardSpec | None, found: str | None) -> str:
    if found:
        return f"Card: {found}"
    if wanted is not None and wanted.virtual:
        return f"Virtual card {wanted.name}: {show_size(wanted.limit_bytes)} for tensors"
    meant = f", within the space of {wanted.name}" if wanted else ""
    return f"No CUDA device here: training on the CPU{meant}"


def _probe(engine: Runner) -> tuple[CardSpec, ...]:
    """The devices torch finds on this machine, asked in a child: this process never imports torch."""
    with tempfile.TemporaryDirectory() as directory:
        found = engine.run(ProbeJob(directory), observer=Silent(), report=lambda step, metrics: False)
    if "cards" not in found:
        raise WorkerLost(f"while looking for a CUDA device: {found.get('error')}")
    return tuple(CardSpec(**card) for card in found["cards"])


def _finish(
    handle: StudyHandle,
    workplace: Workplace,
    work: Callable[[StudyHandle, FinishPlace], Final | Whereabouts | None],
) -> tuple[Final | Whereabouts | None, bool]:
    """What `work` gives, and whether Ctrl-C came in between."""
    audience = workplace.audience
    url, directory = handle.storage_url, workplace.directory
    storage = handle.study._storage
    with (
        storage_errors(url),
        disk_errors(directory),
        interruption(audience.say) as stop,
        heeding(storage, stop),
    ):
        watcher = _Watcher(audience, stop)
        place = _finish_place(workplace, watcher, retries=handle.space.limits.retries)
        final = work(handle, place)
    interrupted = isinstance(final, Final) and final.status == "interrupted"
    if interrupted:
        audience.say("Interrupted. Type the same command to go on.")
    return final, interrupted


def _at_home(workplace: Workplace, space: Space, room: SpaceRoom | None) -> Workplace:
    """Where the finish is made: its model must end up here, and a cluster's seats are not this machine's."""
    if not isinstance(workplace.engine, RayEngine):
        return workplace
    engine = LocalEngine()
    table = _table(space, engine, workplace.audience)
    seats = arrange(Wish(trials=space.budget.trials), host=Host(), cards=table.cards, room=room)
    return replace(workplace, engine=engine, card=table.card, seats=seats)


def _finish_place(workplace: Workplace, watcher: _Watcher, *, retries: int) -> FinishPlace:
    """Side by side on CPU cores only: on a card the plans of two trainings would have to be added up."""
    seats = workplace.seats
    count, threads = (1, None) if seats.cards else (seats.count, seats.threads)
    place = FinishPlace(workplace.directory, workplace.engine, watcher, workplace.card, retries=retries)
    return replace(place, at_once=count, threads=threads)


class _Watcher:
    """Shows the retraining and passes on Ctrl-C."""

    def __init__(self, audience: Audience, stop: Stop) -> None:
        self._audience = audience
        self._stop = stop

    def say(self, line: str) -> None:
        self._audience.say(line)

    def progress(self, done: int, total: int, status: str) -> None:
        self._audience.progress(done, total, status)

    def interrupted(self) -> bool:
        return self._stop.asked


def _note(directory: Path, space: Space, *, options: RunOptions, room: SpaceRoom | None) -> None:
    """Remember what was typed, and what the card can hold."""
    directory.mkdir(parents=True, exist_ok=True)
    if room is not None:
        write_json(directory / ROOM_FILE, room.to_json())
    storage = options.storage or _sqlite(options.studies_dir.resolve(), space.name)
    write_origin(directory, space, storage_url=storage, settings=options.settings)
