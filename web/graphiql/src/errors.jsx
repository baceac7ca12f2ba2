/** Explain the errors of a response in words: who may see a denied field, and whom to ask for it. */
import { useGraphiQL } from "@graphiql/react";
import { formatGroups } from "./permissions.js";

/** Explain the errors of the active tab's response. */
export function ResponseErrors() {
  const text = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.response);
  const errors = parseErrors(text);
  if (!errors.length) return null;
  return (
    <section className="errors" aria-label="Errors in this response">
      <ErrorList errors={errors} />
    </section>
  );
}

export function ErrorList({ errors }) {
  return (
    <ul>
      {errors.map((error, number) => (
        <ErrorItem key={number} {...error} />
      ))}
    </ul>
  );
}

function parseErrors(text) {
  try {
    return JSON.parse(text ?? "").errors ?? [];
  } catch {
    return [];
  }
}

function ErrorItem({ message, path, extensions = {} }) {
  const isSourceError = extensions.code?.startsWith("SOURCE_");
  const Explanation = EXPLANATIONS[extensions.code] ?? (isSourceError ? SourceError : OtherError);
  return (
    <li>
      {extensions.code && <code className="code">{extensions.code}</code>}
      <Explanation message={message} path={path} {...extensions} />
    </li>
  );
}

function Forbidden({ position, groups = [], groupOwners = [], owner, path, nulls }) {
  const owners = new Set(groupOwners.map(({ owner, contact }) => `${owner} (${contact})`));
  const whom = owners.size ? formatGroups([[...owners]]) : (owner ?? `someone in ${formatGroups(groups)}`);
  const times = nulls > 1 ? `${nulls} times, first at ` : "at ";
  return (
    <p>
      <code>{position}</code> is for <strong>{formatGroups(groups)}</strong>. Ask{" "}
      <strong>{whom}</strong> for it.
      {path && (
        <small>
          Null {times}
          <code>{path.join(".")}</code>
        </small>
      )}
    </p>
  );
}

function SourceError({ message, path }) {
  return (
    <p>
      <code>{path?.join(".") ?? "The response"}</code> is null: {message}. The rest of the response is not affected.
    </p>
  );
}

function Unauthenticated() {
  return <p>Enter your API key at the top of the page, then run the query again.</p>;
}

function OtherError({ message, path }) {
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

const EXPLANATIONS = { FORBIDDEN: Forbidden, UNAUTHENTICATED: Unauthenticated };
