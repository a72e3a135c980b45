"""`accredit serve`: run the service until it is told to stop. Every setting of `config.py` is an option."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accredit.app.data_folder import CannotStart
from accredit.cli.problem import Problem, WrongUsage
from accredit.config import SETTINGS, BadFlag, BadSetting, Config, Setting, load

if TYPE_CHECKING:
    from accredit.app.data_folder import Running

_MORE_THAN_ONCE = frozenset({"host", "bind"})


def serve(**options: Any) -> None:
    """Run the service. Every setting also has a variable ACCREDIT_* and a key in accredit.toml."""
    from accredit.app.run import run  # noqa: PLC0415 - the other commands need no server
    from accredit.observe import configure  # noqa: PLC0415 - nor its log, which takes its time to load

    try:
        config = load(options, os.environ)
    except BadFlag as error:
        raise WrongUsage(str(error)) from None
    except BadSetting as error:
        raise Problem(str(error)) from None
    writer = configure(config.log)
    try:
        run(config, lambda id_scope, running: _tell(config, id_scope, running))
    except CannotStart as error:
        raise Problem(str(error)) from None
    finally:
        writer.close()


def _tell(config: Config, id_scope: str, running: Running) -> None:
    amqp = f"amqp {running.amqp}, " if running.amqp else ""
    print(
        f"accredit serves {config.hub_name}: https {running.https}, mqtt {running.mqtt}, {amqp}"
        f"id scope {id_scope}; `accredit info --data-dir {config.data_dir}` shows the rest",
        flush=True,
    )


def _option(setting: Setting) -> inspect.Parameter:
    kind: Any = list[str] | None if setting.name in _MORE_THAN_ONCE else str | None
    annotation = Annotated[kind, typer.Option(setting.flag, help=setting.sentence, show_default=False)]
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


# Typer reads the options from here: the table in config.py stays the one source.
serve.__signature__ = inspect.Signature([_option(setting) for setting in SETTINGS])  # type: ignore[attr-defined]
