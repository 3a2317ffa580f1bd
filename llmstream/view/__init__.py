"""What a run looks like to a person, whatever shows it: parts, Markdown, terminal."""
