"""The looks of a run to a person, whatever shows it: parts, Markdown, terminal."""
