"""The mail itself: headers, text, HTML and files as one message."""

import hashlib
import mimetypes
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from dashboard.handlers.contract import Failed, ParamsDocument
from dashboard.servers import mail_address

HOME = Path(__file__).resolve().parents[2]
"""The folder of ``run.py``, from which relative paths of attachments count."""
MAX_BYTES = 50 * 1024 * 1024
"""Of all attachments together: more than any public mail server takes, little enough to hold in memory."""

_SEVEN_BIT = SMTP.clone(cte_type="7bit")  # not every server offers 8BITMIME


@dataclass(frozen=True)
class Letter:
    """A mail and its envelope. ``recipients``: each address once, in order, ``bcc`` too."""

    message: EmailMessage
    sender: str
    recipients: list[str]

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])

    @property
    def needs_utf8(self) -> bool:
        """Whether an address has characters that only a server with SMTPUTF8 takes."""
        return not all(address.isascii() for address in (self.sender, *self.recipients))

    def data(self) -> bytes:
        """The message as it goes over the line, dots not yet doubled."""
        policy = _SEVEN_BIT.clone(utf8=True) if self.needs_utf8 else _SEVEN_BIT
        return self.message.as_bytes(policy=policy)


def compose(params: ParamsDocument, sender: str, occurrence: str) -> Letter:
    """The mail of ``params`` (loaded). The same ``occurrence`` makes the same Message-ID. Raises Failed for an
    attachment that cannot be read."""
    origin = mail_address(sender)
    everyone = {kind: [mail_address(text) for text in params.get(kind, [])] for kind in ("to", "cc", "bcc")}
    message = EmailMessage(policy=_SEVEN_BIT)
    message["From"] = origin
    message["To"] = everyone["to"]
    if everyone["cc"]:
        message["Cc"] = everyone["cc"]
    message["Subject"] = params["title"]
    message["Date"] = format_datetime(datetime.now(UTC).astimezone())
    message["Message-ID"] = f"<{hashlib.sha256(occurrence.encode('utf-8')).hexdigest()[:32]}@{origin.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies to this
    message.set_content(params["body"])
    if params.get("html"):
        message.add_alternative(params["html"], subtype="html")
    _attach(message, params.get("attachments", []))
    return Letter(message, origin.addr_spec, _once(everyone["to"] + everyone["cc"] + everyone["bcc"]))


def _once(addresses: Sequence[Address]) -> list[str]:
    found: dict[tuple[str, str], str] = {}
    for one in addresses:
        found.setdefault((one.username, one.domain.lower()), one.addr_spec)
    return list(found.values())


def _attach(message: EmailMessage, names: Sequence[str]) -> None:
    left = MAX_BYTES
    for name in names:
        path = HOME / name
        content = _read(path, left)
        left -= len(content)
        kind, encoding = mimetypes.guess_type(path.name)
        main, _, sub = (kind or "").partition("/")
        if encoding or not sub or main in ("message", "multipart"):  # these two may not be base64
            main, sub = "application", "octet-stream"
        message.add_attachment(content, maintype=main, subtype=sub, filename=path.name)


def _read(path: Path, limit: int) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # the end of a pipe or a device may never come
            raise Failed("mail_attachment_unreadable", path=str(path))
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise Failed("mail_attachment_missing", path=str(path)) from error
    except OSError as error:
        raise Failed("mail_attachment_unreadable", path=str(path), error=error.strerror or str(error)) from error
    if len(content) > limit:
        raise Failed("mail_attachments_large", final=True, path=str(path), megabytes=MAX_BYTES // (1024 * 1024))
    return content
