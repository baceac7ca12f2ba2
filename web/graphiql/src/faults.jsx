/** The answer of the tab in front in, its errors out in words: who may see what was withheld, and whom to ask. */
import { useGraphiQL } from "@graphiql/react";
import { inWords } from "./described.js";

export function Faults() {
  const text = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.response);
  const errors = errorsOf(text);
  if (!errors.length) return null;
  return (
    <section className="faults" aria-label="What this answer leaves out">
      <Told errors={errors} />
    </section>
  );
}

export function Told({ errors }) {
  return (
    <ul>
      {errors.map((error, number) => (
        <Fault key={number} {...error} />
      ))}
    </ul>
  );
}

function errorsOf(text) {
  try {
    return JSON.parse(text ?? "").errors ?? [];
  } catch {
    return [];
  }
}

function Fault({ message, path, extensions = {} }) {
  const Words = WORDS[extensions.code] ?? (extensions.code?.startsWith("SOURCE_") ? Failed : Other);
  return (
    <li>
      {extensions.code && <code className="code">{extensions.code}</code>}
      <Words message={message} path={path} {...extensions} />
    </li>
  );
}

function Forbidden({ position, groups = [], owner, path, nulls }) {
  const times = nulls > 1 ? `${nulls} times, first at ` : "at ";
  return (
    <p>
      <code>{position}</code> is for <strong>{inWords(groups)}</strong>. Ask{" "}
      <strong>{owner ?? `someone in ${inWords(groups)}`}</strong> for it.
      {path && (
        <small>
          Null {times}
          <code>{path.join(".")}</code>
        </small>
      )}
    </p>
  );
}

function Failed({ message, path }) {
  return (
    <p>
      <code>{path?.join(".") ?? "The answer"}</code> is null: {message}. The rest of the answer holds.
    </p>
  );
}

function Nobody() {
  return <p>Put your key into the field at the top of the page, then ask again.</p>;
}

function Other({ message, path }) {
  return (
    <p>
      {message}
      {path && (
        <small>
          At <code>{path.join(".")}</code>
        </small>
      )}
    </p>
  );
}

const WORDS = { FORBIDDEN: Forbidden, UNAUTHENTICATED: Nobody };
