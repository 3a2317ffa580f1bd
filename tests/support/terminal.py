"""What an answer leaves on a terminal."""

from __future__ import annotations

from llmstream.events import Event, Token

MARKDOWN = """\
# Title

A paragraph with **bold**, `code` and a [link](https://example.com/a), long enough to be wrapped.
Second line.

1. First:

   ```python
   def f(x):

       return x
   ```

2. Second

   goes on

- a
- b
  - c

> a quote
> of two lines

| name | value |
| --- | ---: |
| one | 1 |
| two | 22 |

---

- after the rule

```js
const a = 1;

const b = 2;
```

    indented

The end.
"""


def in_pieces(text: str, size: int) -> list[Event]:
    return [Token(text[start : start + size]) for start in range(0, len(text), size)]
