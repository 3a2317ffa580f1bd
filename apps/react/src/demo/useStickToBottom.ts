import { type RefObject, useEffect, useRef, useState } from "react";

const NEAR_PX = 40;

interface Stick {
  scroller: RefObject<HTMLDivElement | null>;
  content: RefObject<HTMLElement | null>;
  /** Whether the reader has scrolled up. */
  away: boolean;
  toBottom: () => void;
}

/** Keeps the end in sight while the content grows, unless the reader has scrolled up; `turn` is a new question. */
export function useStickToBottom(turn: number): Stick {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLElement>(null);
  const stuck = useRef(true);
  const [away, setAway] = useState(false);

  function toBottom(): void {
    stuck.current = true;
    setAway(false);
    if (scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new question brings the reader back to the end
  useEffect(toBottom, [turn]);

  useEffect(() => {
    const box = scroller.current;
    const inner = content.current;
    if (box === null || inner === null) return;
    let top = box.scrollTop;
    const onScroll = () => {
      const near = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
      // An event of our own scrolling may come when the content has grown again: only going up is leaving.
      stuck.current = near || (stuck.current && box.scrollTop >= top);
      top = box.scrollTop;
      setAway(!stuck.current);
    };
    const observer = new ResizeObserver(() => {
      if (stuck.current) box.scrollTop = box.scrollHeight;
      else onScroll();
    });
    box.addEventListener("scroll", onScroll, { passive: true });
    observer.observe(inner);
    observer.observe(box);
    return () => {
      observer.disconnect();
      box.removeEventListener("scroll", onScroll);
    };
  }, []);

  return { scroller, content, away, toBottom };
}
