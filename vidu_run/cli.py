"""The command line: options in, exit code out, one door for every failure. No logic lives here."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vidu_run import __version__
from vidu_run.errors import SIGNALLED, Exit, SpecTrouble, Trouble, UsageTrouble
from vidu_run.files import meant_spec

if TYPE_CHECKING:
    from vidu_run.picks import Picks

T = TypeVar("T")
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


def _offers(what: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """A function of `vidu_run.complete` by its name, imported when a shell asks."""

    def offered(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from vidu_run import complete

        # Behind an option that still wants its value click has read no argument yet.
        known = {**ctx.params, "spec": ctx.params.get("spec") or next(iter(ctx.args), None)}
        found: list[Any] = getattr(complete, what)(known, incomplete)
        return found

    return offered


class _Commands(click.Group):
    """`vidu-run jobs.yaml` is `vidu-run run jobs.yaml`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] == ["help"] and not Path("help").exists():
            args = [*args[1:2], "--help"]
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h", "--version"):
            spec = Path(args[0])
            near = get_close_matches(args[0], self.commands, n=1)
            if near and not spec.exists() and not meant_spec(spec) and not ctx.resilient_parsing:
                raise click.UsageError(f"there is no command or spec {args[0]!r}; did you mean {near[0]}?", ctx)
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Commands, and the specs one may run without naming a command."""
        from vidu_run import complete

        return super().shell_complete(ctx, incomplete) or complete.specs(ctx.params, incomplete)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vidu-run")
def cli() -> None:
    """Videos from first and last frames, declared in YAML, bought once.

    \b
    vidu-run jobs.yaml --provider local   rehearse, free
    vidu-run plan jobs.yaml               what it will do, and cost
    vidu-run jobs.yaml --limit 1          buy one
    """


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _options(*options: Decorator) -> Decorator:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_place = _options(
    click.option("--out", type=FOLDER, help="The output folder. Default: out/<spec name>/ beside the spec."),
    click.option(
        "--provider",
        metavar="NAME",
        shell_complete=_offers("providers"),
        help="local, octopusx, vidu or vidu-cn instead of the spec's.",
    ),
    click.option("--base-url", metavar="URL", help="Another host for the provider's routes."),
    click.option("--key-file", type=FILE, help="A file with the key, where no variable holds it."),
)
_settings = click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Over the spec's vars.")
_only = click.option("--only", metavar="GLOB", shell_complete=_offers("known_jobs"), help="Jobs whose name matches.")
_limit = click.option("--limit", type=click.IntRange(0), metavar="N", help="Submit at most N jobs.")
_retry = click.option("--retry-failed", is_flag=True, help="Also buy again what failed or was rejected.")
_rebuy = click.option("--rebuy", is_flag=True, help="Also buy what the ledger says was delivered elsewhere.")
_json = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
_assume = click.option(
    "--assume-credits", type=click.IntRange(0), metavar="N", help="Count N for a clip without a known price."
)
_spec = click.argument("spec", type=FILE, shell_complete=_offers("specs"))
_specs = click.argument("specs", type=FILE, nargs=-1, required=True, shell_complete=_offers("specs"))
_maybe_spec = click.argument("spec", type=FILE, required=False, shell_complete=_offers("specs"))
_state = click.option("--state", type=FOLDER, help="The output folder, where the spec may be gone.")


@cli.command()
@_spec
@_place
@_settings
@_only
@_limit
@_retry
@_rebuy
@_json
@_assume
@click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Tasks at the API at once.")
@click.option("--budget", type=click.IntRange(0), metavar="N", help="Credits this run may add.")
@click.option("--no-wait", is_flag=True, help="Submit, and leave the waiting to a later run.")
@click.option("--yes", "-y", is_flag=True, help="Spend without asking.")
@click.option("--fresh", is_flag=True, help="Buy here what another output folder of this provider holds.")
@click.option("--moved-to", is_flag=True, help="The same service has a new address.")
def run(spec: Path, as_json: bool, settings: Sequence[str], **options: Any) -> int:
    """Buy what is asked for and not there yet."""
    from vidu_run import quiet
    from vidu_run.console import Console

    console, given = Console(), _parsed(settings)
    asked = quiet.Asked(spec, options["provider"], given, options["assume_credits"])
    if not as_json and quiet.look(options, asked, console):
        return Exit.DONE
    from vidu_run import app
    from vidu_run.plan import Wish
    from vidu_run.preview import RunWish
    from vidu_run.state import Opening

    wish = RunWish(
        plan=Wish(options["only"], options["limit"], options["retry_failed"], options["rebuy"]),
        settings=given,
        assume_credits=options["assume_credits"],
        concurrency=options["concurrency"],
        budget=options["budget"],
        yes=options["yes"],
        waits=not options["no_wait"],
        opening=Opening(options["fresh"], options["moved_to"]),
        wants_status=as_json,
    )
    return _told(_run(app.run(spec, _where(options), wish, console)), as_json, console)


@cli.command()
@_maybe_spec
@_state
@_place
@_json
def fetch(spec: Path | None, state: Path | None, as_json: bool, **options: Any) -> int:
    """Download what is paid for; never submit."""
    from vidu_run import app
    from vidu_run.console import Console

    console = Console()
    out = _folder(spec, state, options)
    return _told(_run(app.fetch(out, _where(options), console, as_json)), as_json, console)


@cli.command()
@_specs
@click.option(
    "--provider", metavar="NAME", shell_complete=_offers("providers"), help="Check against another provider's rules."
)
@_settings
@_json
def check(specs: Sequence[Path], provider: str | None, settings: Sequence[str], as_json: bool) -> int:
    """Every problem, with its place."""
    from vidu_run.console import Console
    from vidu_run.verdict import check_all

    console = Console()
    found = check_all(specs, provider, _parsed(settings))
    if as_json:
        console.raw(json.dumps(found.document, ensure_ascii=False))
    elif os.environ.get("GITHUB_ACTIONS") == "true":
        console.raw("\n".join(found.annotations))
    else:
        console.problems(found.problems)
        console.say(found.summary)
    return Exit.USAGE if found.errors else Exit.DONE


@cli.command()
@_specs
@_place
@_settings
@_only
@_limit
@_retry
@_rebuy
@_json
@_assume
@click.option("--markdown", is_flag=True, help="A table for a pull request.")
@click.option(
    "--against",
    type=FILE,
    metavar="FILE",
    shell_complete=_offers("specs"),
    help="Another version of the spec: what the change buys.",
)
@click.option("--balance", is_flag=True, help="Ask the account what is left; the one question a plan may send.")
@click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Tasks at the API at once, for the time.")
def plan(
    specs: Sequence[Path],
    settings: Sequence[str],
    as_json: bool,
    markdown: bool,
    against: Path | None,
    balance: bool,
    assume_credits: int | None,
    concurrency: int | None,
    **options: Any,
) -> int:
    """Each job's step, reason and price.

    Sends nothing, and asks nothing but for --balance.
    """
    from vidu_run import paper, preview
    from vidu_run.console import Console
    from vidu_run.plan import Wish

    console = Console()
    form = "json" if as_json else "markdown" if markdown else "text"
    wish = preview.RunWish(
        plan=Wish(options["only"], options["limit"], options["retry_failed"], options["rebuy"]),
        settings=_parsed(settings),
        assume_credits=assume_credits,
        concurrency=concurrency,
    )
    if against is not None:
        if len(specs) != 1:
            raise UsageTrouble("--against compares one spec")
        console.answer(paper.compared(preview.against(specs[0], against, _where(options), wish), form))
        return Exit.DONE
    plans = [preview.plan(path, _where(options), wish) for path in specs]
    left = [_run(preview.balance(made.spec, _where(options))) if balance else None for made in plans]
    if form != "json":
        for made in plans:
            console.problems(made.warnings(preview.ONCE))
    console.answer(paper.planned(plans, left, form))
    return Exit.DONE


@cli.command()
@_maybe_spec
@_state
@_place
@_json
@click.option("--verify", is_flag=True, help="Read every delivered file again and compare its hash.")
@click.option("--watch", "watches", is_flag=True, help="Follow a run from another terminal, until it ends.")
def status(spec: Path | None, state: Path | None, as_json: bool, verify: bool, watches: bool, **options: Any) -> int:
    """Where every job stands.

    From the state alone; also while a run goes on.
    """
    from vidu_run import show, view
    from vidu_run.console import Console
    from vidu_run.folder import run_lives

    out, console = _folder(spec, state, options), Console()
    if watches:
        from vidu_run.watch import watch

        if verify:
            raise UsageTrouble("--verify reads every file once: it does not go with --watch")
        watch(out, as_json, console)
        return Exit.DONE
    with view.read(out) as journal:
        lives = run_lives(out)
        if as_json or verify:
            picks: Picks = {}
            if view.has_films(journal):
                from vidu_run.results import readable_picks

                picks = readable_picks(journal, out, spec, console.problems)
            document = view.status_of(journal, out, lives, picks, verify)
            rows = [] if as_json else view.rows_of(document)
        else:
            document, rows = view.brief(journal, out, lives)
    if as_json:
        console.raw(json.dumps(document, ensure_ascii=False))
    else:
        console.answer(show.status_text(document, rows))
        if verify:
            console.answer(show.verified_text(document["jobs"]))
    return Exit.DONE


@cli.command()
@_spec
@_place
@_settings
@_json
def film(spec: Path, settings: Sequence[str], as_json: bool, **options: Any) -> int:
    """Join the clips of the spec's films; never submit.

    For each segment the take with the most stars, else the first in the spec.
    """
    from vidu_run import app, show
    from vidu_run.console import Console

    console = Console()
    films = app.film(spec, _where(options), _parsed(settings))
    if as_json:
        told = [
            dict(made.sidecar) if made else {"name": edit.film.name, "missing": edit.missing} for edit, made in films
        ]
        console.raw(json.dumps({"films": told}, ensure_ascii=False))
    else:
        for edit, made in films:
            if made is None:
                console.answer(show.film_waits(edit.film.name, edit.missing, edit.ended))
            else:
                console.answer(show.film_made(made.file, made.sidecar))
    waiting = [edit for edit, made in films if made is None]
    if any(len(edit.ended) < len(edit.missing) for edit in waiting):
        return Exit.INCOMPLETE
    return Exit.SOME_FAILED if waiting else Exit.DONE


@cli.command()
@_maybe_spec
@_state
@_place
@_json
@click.option("--sheets", type=click.Choice(["webp", "png"]), help="Also a contact sheet of each row, in sheets/.")
@click.option("--columns", metavar="AXIS", help="The axis along a sheet. Default: seed, else the last.")
def report(
    spec: Path | None, state: Path | None, as_json: bool, sheets: str | None, columns: str | None, **options: Any
) -> int:
    """Write the page and the table anew, from the state.

    Also while a run goes on, and where the spec is gone.
    """
    from vidu_run import results, view
    from vidu_run.console import Console
    from vidu_run.folder import run_lives

    if columns is not None and sheets is None:
        raise UsageTrouble("--columns goes with --sheets")
    out = _folder(spec, state, options)
    console = Console()
    with view.read(out) as journal:
        picks = results.picks_beside(journal, out, spec)
        held = results.hold(journal, out, picks, run_lives(out))
        page = results.write_page(held)
        results.write_table(held, console.say)
        drawn = [str(path) for path in results.write_sheets(held, sheets, columns)] if sheets else []
        document = view.status_of(journal, out, held.run_lives, picks) if as_json else {}
    if as_json:
        more = {"sheets": drawn} if sheets else {}
        console.raw(json.dumps({**document, "page": str(page), **more}, ensure_ascii=False))
    else:
        console.answer("\n".join([str(page), *drawn]))
    return Exit.DONE


@cli.command()
@_spec
@_place
@_only
@_json
@click.option("--picks", type=FILE, metavar="FILE", help="Default: <spec>.picks.yaml; - reads standard input.")
@click.option(
    "--stars", type=click.IntRange(1, 5), default=1, show_default=True, metavar="N", help="Picks of N stars or more."
)
@click.option(
    "--with",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE,…",
    help="Over every request: model=viduq2-pro,resolution=1080p; null takes a field out.",
)
@click.option("--to", type=FILE, metavar="FILE", help="The new spec. Default: <spec>.final.yaml.")
def promote(
    spec: Path,
    picks: Path | None,
    stars: int,
    only: str | None,
    changes: Sequence[str],
    to: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Turn picks into the next spec.

    One plain job for each clip you gave stars to, with the seed it was made with. Buys nothing.
    """
    from vidu_run import promote as work
    from vidu_run import promoted, view
    from vidu_run.choice import Choice, changes_of, picks_of
    from vidu_run.console import Console

    choice = Choice(only, stars, changes_of(changes), to)
    out = _folder(spec, None, options)
    with view.read(out) as journal:
        picked, told = picks_of(spec, picks, sys.stdin.buffer.read)
        made = work.promote(work.Source(spec, out, options["provider"]), journal, picked, told, choice)
    console = Console()
    if as_json:
        console.raw(json.dumps(promoted.document(made), ensure_ascii=False))
    else:
        console.answer(str(made.spec.path))
    for line in promoted.words(made):
        console.say(line)
    return Exit.DONE


@cli.command()
@click.argument("words", nargs=-1, metavar="[SPEC] JOB...", shell_complete=_offers("doubted_jobs"))
@_state
@_place
@click.option("--task", metavar="ID", help="It was taken: this is its task.")
@click.option("--resubmit", is_flag=True, help="It surely was not taken: submit it again.")
@click.option("--abandon", is_flag=True, help="Give it up.")
def resolve(
    words: Sequence[str], state: Path | None, task: str | None, resubmit: bool, abandon: bool, **options: Any
) -> int:
    """Give your word on jobs in doubt.

    Globs mean jobs in doubt; one that is spelled out may also be paid for, or given up. The next run acts on it.
    """
    from vidu_run import word
    from vidu_run.console import Console
    from vidu_run.record import State
    from vidu_run.reply import usable_task_id

    if sum((task is not None, resubmit, abandon)) != 1:
        raise UsageTrouble("give one of --task ID, --resubmit, --abandon")
    if task is not None and usable_task_id(task) is None:
        raise UsageTrouble(f"--task {task!r} is not a task id")
    spec, names = (None, words) if state else (Path(words[0]) if words else None, words[1:])
    if not names:
        raise UsageTrouble("name the jobs to resolve (a glob such as '*' means all that are in doubt)")
    verdict = State.SUBMITTED if task else State.NOT_SENT if resubmit else State.ABANDONED
    _run(word.resolve(_folder(spec, state, options), list(names), verdict, task, Console()))
    return Exit.DONE


@cli.command()
@click.argument("words", nargs=-1, metavar="[SPEC] JOB...", shell_complete=_offers("submitted_jobs"))
@_state
@_place
def cancel(words: Sequence[str], state: Path | None, **options: Any) -> int:
    """Cancel tasks that still wait, where the provider can."""
    from vidu_run import word
    from vidu_run.console import Console

    spec, names = (None, words) if state else (Path(words[0]) if words else None, words[1:])
    if not names:
        raise UsageTrouble("name the jobs to cancel (globs allowed)")
    refused = _run(word.cancel(_folder(spec, state, options), list(names), _where(options), Console()))
    return Exit.SOME_FAILED if refused else Exit.DONE


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0 takes a free one.")
@click.option("--folder", type=FOLDER, default=Path("vidu-local-api"), show_default=True, help="Keeps its tasks.")
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="N times as fast as a real service may be. Default: as fast as it renders.",
)
@click.option("--credits", type=click.IntRange(0), metavar="N", help="Credits of an account in all. Default: plenty.")
@click.option(
    "--concurrency", type=click.IntRange(1), default=5, show_default=True, metavar="N", help="Tasks made at once."
)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="Requests a second. Default: no bound."
)
@click.option("--key-file", type=FILE, help="The keys it accepts, one a line. Default: any, or none.")
@click.option(
    "--links",
    type=click.Choice(["stand-in", "public", "any"]),
    default="public",
    show_default=True,
    help="Frames given as links: not fetched, fetched from public hosts, or from any host.",
)
@click.option(
    "--faults", default="", metavar="NAME=CHANCE,…", help="Misbehave: lost-reply=0.05,500=0.02; docs/faults.md."
)
@click.option("--faults-seed", type=int, metavar="N", help="The same faults again.")
def serve(
    port: int,
    folder: Path,
    credits: int | None,
    key_file: Path | None,
    links: str,
    faults: str,
    faults_seed: int | None,
    **options: Any,
) -> int:
    """Run the local API by itself.

    On a port of its own, for curl or any client. Bounds are for each account, which is a key.
    """
    from vidu_run.console import Console
    from vidu_run.local.account import PLENTY, Terms
    from vidu_run.local.manner import Manner, chances
    from vidu_run.serve import keys_in, serve_until_stopped

    given = PLENTY if credits is None else credits
    terms = Terms(credits=given, keys=keys_in(key_file) if key_file else None, **options)
    manner = Manner(links, chances(faults, "--faults"), faults_seed)
    return _run(serve_until_stopped(folder, port, terms, manner, os.environ, Console()))


@cli.command()
@click.argument("name", default="spec", metavar="[NAME]", shell_complete=_offers("schemas"))
def schema(name: str) -> int:
    """Print a JSON Schema.

    NAME is `spec`, `prices` for your own price list, `picks`, or a provider for its request: octopusx, vidu, vidu-cn.
    """
    from vidu_run.console import Console
    from vidu_run.providers.catalogue import PROVIDER_NAMES, schema_file

    own = ("spec", "prices", "picks")
    if name not in (*own, *PROVIDER_NAMES):
        raise UsageTrouble(f"no schema is called {name!r}; there are {', '.join((*own, *PROVIDER_NAMES))}")
    file = schema_file(f"{name}.schema.json" if name in own else f"{name}.request.schema.json")
    Console().raw(file.read_text(encoding="utf-8").rstrip("\n"))
    return Exit.DONE


@cli.command()
@click.argument("folder", type=FOLDER)
def init(folder: Path) -> int:
    """Make a starter folder."""
    from vidu_run.console import Console
    from vidu_run.starter import make_starter

    made = make_starter(folder)
    Console().answer(
        "\n".join([*(str(path) for path in made), "", f"next: vidu-run {shlex.quote(str(folder / 'jobs.yaml'))}"])
    )
    return Exit.DONE


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), default="bash", metavar="[bash|zsh|fish]")
def completion(shell: str) -> int:
    """Print what makes a shell complete.

    For bash 4.4 or later and zsh: eval "$(vidu-run completion zsh)" in its start-up file.
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    from vidu_run.console import Console

    scripts = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    Console().raw(scripts[shell](cli, {}, "vidu-run", "_VIDU_RUN_COMPLETE").source().strip("\n"))
    return Exit.DONE


def _run(work: Coroutine[Any, Any, T]) -> T:
    # Imported here: loading asyncio takes longer than all that `--help` needs.
    import asyncio

    return asyncio.run(work)


def _where(options: Mapping[str, Any]) -> Any:
    from vidu_run.footing import Where

    return Where(options["provider"], options["base_url"], options["out"], options["key_file"])


def _folder(spec: Path | None, state: Path | None, options: Mapping[str, Any]) -> Path:
    """The output folder a command means: named, or that of the spec."""
    from vidu_run.folder import folder_of

    if state is not None:
        return state
    if spec is None:
        raise UsageTrouble("give the spec, or --state DIR (the output folder)")
    out: Path | None = options["out"]
    return out or folder_of(spec, options["provider"])


def _parsed(settings: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE`, the value read as a scalar of the spec would be."""
    if not settings:
        return {}
    from vidu_run.spec.read import json_scalar

    parsed = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageTrouble(f"--set {setting}: write NAME=VALUE")
        parsed[name] = json_scalar(value)
    return parsed


def _told(ended: Any, as_json: bool, console: Any) -> int:
    from vidu_run import show

    if as_json:
        reasons = [{"code": code, "reason": reason} for code, reason in ended.reasons]
        console.raw(json.dumps({**ended.status, "exit": ended.code, "reasons": reasons}, ensure_ascii=False))
    for line in show.end_lines(ended.code, ended.said, ended.counts, ended.page):
        console.say(line)
    return int(ended.code)


def main(arguments: Sequence[str] | None = None) -> None:
    """The one door: every failure leaves as one or two lines and an exit code."""
    sys.exit(_guarded(list(sys.argv[1:] if arguments is None else arguments)))


def _guarded(arguments: list[str]) -> int:
    try:
        return int(cli.main(arguments, prog_name="vidu-run", standalone_mode=False) or 0)
    except SpecTrouble as trouble:
        from vidu_run.console import Console

        Console().problems(trouble.problems)
        return int(trouble.code)
    except Trouble as trouble:
        return _fail(f"vidu-run: {trouble}", trouble.code)
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain about it while it leaves.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGNALLED + 13
    except Exception as error:
        return _fail(_bug(error), Exit.BUG)


def _fail(message: str, code: int) -> int:
    from vidu_run.console import clean

    sys.stderr.write(clean(message) + "\n")
    return int(code)


def _bug(error: Exception) -> str:
    """Two lines on the screen, the rest in a file ready to be sent."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="vidu-run-bug-", suffix=".txt", delete=False) as file:
        file.write(f"vidu-run {__version__}, Python {sys.version}\n\n{traceback.format_exc()}")
    return f"vidu-run: a bug here: {type(error).__name__}: {error}\nWhat we would like to see stands in {file.name}"
