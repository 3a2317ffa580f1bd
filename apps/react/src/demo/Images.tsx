import { useCallback, useState } from "react";
import { readImage } from "../llmstream";
import { Icon } from "./Icon";

/** The images that go with a question, and what is wrong with one that can't. */
export interface Attached {
  images: readonly string[];
  problem: string | undefined;
  add: (files: Iterable<File>) => void;
  remove: (at: number) => void;
  set: (images: readonly string[]) => void;
}

const NONE: readonly string[] = [];

export function useAttached(): Attached {
  const [images, setImages] = useState(NONE);
  const [problem, setProblem] = useState<string>();
  const add = useCallback((files: Iterable<File>) => {
    setProblem(undefined);
    Promise.all(Array.from(files, (file) => readImage(file))).then(
      (read) => setImages((before) => [...before, ...read]),
      (error: Error) => setProblem(error.message),
    );
  }, []);
  const remove = useCallback((at: number) => setImages((before) => before.filter((_, place) => place !== at)), []);
  const set = useCallback((next: readonly string[]) => {
    setImages(next);
    setProblem(undefined);
  }, []);
  return { images, problem, add, remove, set };
}

/** The images of a drop or a paste. */
export function imagesIn(data: DataTransfer): File[] {
  return [...data.files].filter((file) => file.type.startsWith("image/"));
}

/** Opens a chooser of images. */
export function AttachButton({ onFiles }: { onFiles: (files: Iterable<File>) => void }) {
  return (
    <label className="attach" title="Add images">
      <Icon name="image" />
      <input
        type="file"
        aria-label="Add images"
        accept="image/*"
        multiple
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          event.target.value = ""; // so that the same one can be chosen again
        }}
      />
    </label>
  );
}

/** What will be sent, each with a button that takes it away. */
export function Previews({ attached: { images, problem, remove } }: { attached: Attached }) {
  return (
    <>
      {images.length > 0 ? (
        <ul className="images" aria-label="Images to send">
          {images.map((url, at) => (
            <li key={at}>
              <img src={url} alt={`Nr. ${at + 1}`} />
              <button type="button" aria-label={`Remove image ${at + 1}`} title="Remove" onClick={() => remove(at)}>
                <Icon name="remove" />
              </button>
            </li>
          ))}
        </ul>
      ) : null}
      {problem === undefined ? null : (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </>
  );
}

/** The images of a question. */
export function Pictures({ images }: { images: readonly string[] }) {
  return (
    <div className="images">
      {images.map((url, at) => (
        <img key={at} src={url} alt={`Sent with the question, nr. ${at + 1}`} />
      ))}
    </div>
  );
}
