"""``doctor``: what is wrong with this installation, and what to do."""

import click

from dashboard.cli.console import print_json, say
from dashboard.cli.door import Door
from dashboard.cli.usage import Command
from dashboard.i18n import gettext, pgettext
from dashboard.services.doctor import diagnose


def command() -> click.Command:
    """``doctor``."""
    return Command("doctor", callback=click.pass_obj(doctor), help=gettext(
        "What is wrong with this installation, and what to do."), params=[
            click.Option(["--json", "as_json"], is_flag=True, help=gettext("JSON for programs."))])


def doctor(door: Door, as_json: bool) -> int:
    """1 if there is a problem."""
    findings = diagnose(door.settings)
    if as_json:
        print_json([{"code": found.code, "level": found.level, "text": found.text, "remedy": found.remedy}
                    for found in findings])
    else:
        marks = {"ok": pgettext("finding", "good"), "warning": pgettext("finding", "note"),
                 "problem": pgettext("finding", "PROBLEM")}
        for found in findings:
            say(f"[{marks[found.level]}] {found.text}")
            if found.remedy:
                say(f"    -> {found.remedy}")
    return 1 if any(found.level == "problem" for found in findings) else 0
