"""The images that a page was given, from the files in which Gradio keeps them to parts of a message."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder, is_in_or_equal
from PIL import Image, ImageOps, UnidentifiedImageError

from llmstream.core.question.images import image_url
from llmstream.errors import InvalidRequest

# The longest side of an image that a model is sent, in pixels, as the web page has it: most models see no more.
_LONGEST = 1536
# Of more pixels a small file can take gigabytes of memory; a JPEG is never unpacked whole.
_PIXELS = 50_000_000
# Each is read in this process: Pillow hands PostScript to another program, which carries it out.
_READ = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_ORIENTATION = 0x0112  # of a photograph, in EXIF
_KEPT = ("PNG", "JPEG", "WEBP")
_GONE = "[An image was here, and is kept no longer.]"


def with_images(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages, with each file read and shrunk, as an image that a model takes; to be called in a thread.

    Raises `InvalidRequest` for one of the question that can't be read; of an earlier one a note stands in its place.
    """
    last = len(messages) - 1
    return [
        {**message, "content": [_part(part, is_asked=place == last) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else dict(message)
        for place, message in enumerate(messages)
    ]


def _part(part: Mapping[str, Any], *, is_asked: bool) -> Mapping[str, Any]:
    if part.get("type") != "file":
        return part
    try:
        return {"type": "image_url", "image_url": {"url": image_url(_read(part["file"]))}}
    except InvalidRequest:
        if is_asked:
            raise
        return {"type": "text", "text": _GONE}


def _read(file: Any) -> bytes:
    path = str(file.get("path") if isinstance(file, Mapping) else file)
    name = f"The image {Path(path).name[:80]!r}"
    # A page may name any file of the server.
    if not is_in_or_equal(Path(path).resolve(), Path(get_upload_folder()).resolve()):
        raise InvalidRequest(f"{name} was not uploaded here. Attach it to the question.")
    try:
        return _shrunk(Path(path).read_bytes())
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError, KeyError):
        raise InvalidRequest(f"{name} is no image that can be read here. Take a PNG, JPEG or WebP.") from None
    except FileNotFoundError:
        raise InvalidRequest(f"{name} is kept no longer. Attach it again.") from None
    except OSError:
        raise InvalidRequest(f"{name} is broken. Take another one.") from None


def _shrunk(raw: bytes) -> bytes:
    """The file of an image that is not larger than a model sees, upright."""
    with Image.open(io.BytesIO(raw), formats=_READ) as image:
        kind = image.format
        if kind in _KEPT and max(image.size) <= _LONGEST and image.getexif().get(_ORIENTATION, 1) == 1:
            return raw
        image.draft(None, (_LONGEST, _LONGEST))
        if image.width * image.height > _PIXELS:
            raise InvalidRequest(f"The image has more than {_PIXELS // 10**6} million pixels. Take a smaller one.")
        image.thumbnail((_LONGEST, _LONGEST))
        turned = ImageOps.exif_transpose(image)
        buffer = io.BytesIO()
        kept = kind if kind in _KEPT else "PNG"
        turned.save(buffer, format=kept, **({"quality": 90} if kept != "PNG" else {}))
        return buffer.getvalue()
