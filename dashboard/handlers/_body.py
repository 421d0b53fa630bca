"""The bytes of an HTTP answer as text."""

import codecs
from email.message import Message

_BINARY = ("image/", "audio/", "video/", "font/", "application/octet-stream", "application/pdf", "application/zip")


def decode_body(body: bytes, content_type: str, cut: bool) -> str | None:
    """The text; None for what is none. The encoding: what the answer says, else a byte order mark's, else UTF-8 if
    all of it is valid, else GB18030 likewise (old Chinese sites say nothing), else UTF-8 with replacements.
    ``cut``: the last character may be incomplete and is left out."""
    if b"\0" in body and not body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    header = Message()
    header["Content-Type"] = content_type
    if header.get_content_type().startswith(_BINARY):
        return None
    named = header.get_content_charset()
    if named is not None:
        try:
            return _decoded(body, named, "replace", cut)
        except (LookupError, UnicodeError):  # no such encoding, or no encoding of text
            pass
    for encoding in (_marked(body), "gb18030"):
        try:
            return _decoded(body, encoding, "strict", cut)
        except UnicodeDecodeError:
            continue
    return _decoded(body, "utf-8", "replace", cut)


def _marked(body: bytes) -> str:
    return "utf-16" if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def _decoded(body: bytes, encoding: str, errors: str, cut: bool) -> str:
    b" ".decode(encoding, "replace")  # a LookupError for codecs that are none of text (base64, zip); b"" asks none
    return codecs.getincrementaldecoder(encoding)(errors).decode(body, final=not cut)
