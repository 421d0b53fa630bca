"""Keeps the catalogues: ``python -m tests.tools.messages [ZH.json]``.

Extracts every source string, updates both catalogues, sets Chinese texts from a JSON file of
``{"English": "中文"}`` (a plural's value is the one Chinese form), fills the English ones with the source,
drops what is no longer used and compiles. Prints what is still without a translation; exit status 1 then.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
LOCALES = ROOT / "dashboard" / "locales"
WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)  # a fixed date keeps the files equal when nothing changed
KEYWORDS = {"gettext": None, "N_": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2), "lazy_gettext": None}
METHODS = [("**.py", "python"), ("**.html", "jinja2")]


def extract() -> Catalog:
    """All source strings of the program."""
    catalog = Catalog(project="Dingshi", charset="utf-8")
    for folder in ("dashboard", "partials"):
        rows = extract_from_dir(ROOT / folder, METHODS, keywords=KEYWORDS)
        for filename, _line, message, comments, context in sorted(rows, key=lambda row: (row[0], row[1])):
            place = (f"{folder}/{filename}".replace("\\", "/"), 0)
            catalog.add(message, None, [place], auto_comments=comments, context=context)
    return catalog


def catalogue(language: str) -> Catalog:
    """The committed catalogue of ``language``."""
    path = LOCALES / language / "LC_MESSAGES" / "messages.po"
    if not path.exists():
        return Catalog(locale=language, project="Dingshi", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(translations: dict[str, str]) -> list[str]:
    """Rewrites both catalogues; returns the source strings without a Chinese text."""
    missing: list[str] = []
    for language in ("en", "zh"):
        catalog = catalogue(language)
        catalog.update(extract(), no_fuzzy_matching=True)  # one each: update() shares the messages
        catalog.creation_date = catalog.revision_date = WRITTEN
        catalog.header_comment, catalog.fuzzy = "# Dingshi", False
        catalog.obsolete.clear()
        for message in catalog:
            if not message.id:
                continue
            first = message.id[0] if isinstance(message.id, tuple | list) else message.id
            if language == "en":
                message.string = message.id
            elif first in translations:
                plural = isinstance(message.id, tuple | list)
                message.string = (translations[first],) if plural else translations[first]
            text = message.string[0] if isinstance(message.string, tuple | list) else message.string
            if language == "zh" and not text:
                missing.append(first)
        folder = LOCALES / language / "LC_MESSAGES"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "messages.po").open("wb") as file:
            write_po(file, catalog, omit_header=False, sort_output=True, width=110, include_lineno=False)
        with (folder / "messages.mo").open("wb") as file:
            write_mo(file, catalog)
    return missing


def main(arguments: list[str]) -> int:
    """The command line."""
    translations: dict[str, str] = {}
    for name in arguments:
        translations.update(json.loads(Path(name).read_text(encoding="utf-8")))
    with FileLock(str(LOCALES / ".messages.lock")):
        missing = update(translations)
    if missing:
        sys.stdout.write(json.dumps(dict.fromkeys(missing, ""), ensure_ascii=False, indent=1) + "\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
