const PATHS = {
  add: "M12 5v14M5 12h14",
  again: "M4 4v6h6M4.6 15a8 8 0 1 0 .8-8.2L4 10",
  check: "M5 13l4.5 4.5L19 7",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  down: "M12 5v14M6 13l6 6 6-6",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9h.01",
  link: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  onward: "M5 6l6 6-6 6M13 6l6 6-6 6",
  send: "M12 19V5M6 11l6-6 6 6",
  remove: "M7 7l10 10M17 7L7 17",
  stop: "M8 8h8v8H8z",
} as const;

/** A picture beside or instead of a word; the word is what is read out. */
export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg className={`icon ${name}`} viewBox="0 0 24 24" aria-hidden>
      <path d={PATHS[name]} />
    </svg>
  );
}
