/** Draw a plan as a tree: a box for each read, and below it the reads that it waits for. */
import { formatBytes, formatCount, formatMilliseconds, formatReason, formatTime } from "./format.js";
import { assignShapes, Bar, Legend, PlacementIcon, PlacementLabel, SourceIcon } from "./icons.jsx";

const PURPOSES = { rows: "rows", tally: "totals", passed: "previous page?", ahead: "next page?", keys: "keys" };
const FAILURES = {
  SOURCE_UNAVAILABLE: "The source did not answer.",
  SOURCE_OVERLOADED: "The source is overloaded; try again later.",
  SOURCE_INVALID: "The source sent a response that cannot be read.",
  LIMIT_EXCEEDED: "A limit was exceeded; narrow the query.",
};

export function Tree({ branches }) {
  const reads = branches.flatMap(listReads);
  const outcomes = reads.map((read) => read.ran).filter(Boolean);
  const max = (name) => Math.max(0, ...outcomes.map((outcome) => outcome[name] ?? 0));
  const scale = { shapes: assignShapes(reads.map((read) => read.source)), rows: max("rows"), ms: max("ms") };
  return (
    <>
      <Summary reads={reads} outcomes={outcomes} />
      <Legend placements={new Set(reads.flatMap((read) => read.steps.map((step) => step.how)))} />
      <ul className="plan-tree">
        {branches.map((branch) => (
          <Branch key={branch.key} branch={branch} scale={scale} />
        ))}
      </ul>
    </>
  );
}

function listReads({ reads, branches }) {
  return [...reads.flatMap(listWithInner), ...branches.flatMap(listReads)];
}

function listWithInner(read) {
  return [read, ...read.reads.flatMap(listWithInner)];
}

function Summary({ reads, outcomes }) {
  const distinct = reads.filter((read) => !read.shared);
  if (!outcomes.length) return <p className="plan-summary">{formatCount(distinct.length, "read")} · not run</p>;
  const sum = (name) => outcomes.reduce((total, outcome) => total + (outcome[name] ?? 0), 0);
  const slowest = distinct.reduce((first, second) => ((second.ran?.ms ?? 0) > (first.ran?.ms ?? 0) ? second : first));
  const parts = [
    formatCount(sum("calls"), "call"),
    sum("cached") > 0 && `${formatCount(sum("cached"), "call")} saved by the cache`,
    formatCount(sum("rows"), "row"),
    formatBytes(sum("bytes")),
    slowest.ran && `slowest: ${slowest.source} ${slowest.collection}, ${formatMilliseconds(slowest.ran.ms)}`,
  ];
  return <p className="plan-summary">{parts.filter(Boolean).join(" · ")}</p>;
}

function Branch({ branch, scale }) {
  const { type, field, key, to, here: parentColumns, there: keyColumns } = branch;
  return (
    <li className="branch">
      <header className="branch-head">
        <strong>{key}</strong>
        <span className="soft">
          {key === field ? type : `${type}.${field}`} → {to}
        </span>
        {keyColumns && (
          <code title="The rows of this field are found by these columns">
            {parentColumns ? `${keyColumns.join(", ")} = ${parentColumns.join(", ")}` : `by ${keyColumns.join(", ")}`}
          </code>
        )}
      </header>
      <ul>
        {branch.reads.map((read, number) => (
          <Read key={number} read={read} scale={scale} />
        ))}
        {branch.branches.map((child) => (
          <Branch key={child.key} branch={child} scale={scale} />
        ))}
      </ul>
    </li>
  );
}

function Read({ read, scale }) {
  const shape = scale.shapes.get(read.source);
  return (
    <li className="read">
      <article className={`box edge-${shape}${read.shared || read.idle ? " faint" : ""}`}>
        <header>
          <SourceIcon shape={shape} />
          <strong>{read.source}</strong>
          <code title={read.columns && `Columns: ${read.columns.join(", ")}`}>{read.collection}</code>
          <span className="purpose">{formatPurpose(read)}</span>
        </header>
        {read.shared && <p className="soft">The same read as above; it runs only once.</p>}
        {read.idle && !read.shared && <p className="soft">Not run: there were no keys, or an earlier read failed.</p>}
        {read.ran && <Outcome outcome={read.ran} maxAge={read.fresh} scale={scale} />}
        {!read.ran && read.fresh && <p className="soft">{formatMaxAge(read.fresh)}</p>}
        {read.steps.length > 0 && (
          <ul className="steps">
            {read.steps.map((step, number) => (
              <Step key={number} {...step} />
            ))}
          </ul>
        )}
        {read.sql && <Sql statements={read.sql} />}
      </article>
      {read.reads.length > 0 && (
        <ul>
          {read.reads.map((inner, number) => (
            <Read key={number} read={inner} scale={scale} />
          ))}
        </ul>
      )}
    </li>
  );
}

function formatPurpose(read) {
  if (read.purpose === "groups") return read.of === "groups" ? "groups" : `groups ${read.of}`;
  return read.brings ? `for ${read.brings.join(", ")}` : PURPOSES[read.purpose];
}

function formatMaxAge(seconds) {
  return `cached for up to ${seconds} s`;
}

function Outcome({ outcome, maxAge, scale }) {
  const { failed } = outcome;
  const details = [
    formatCount(outcome.calls, "call"),
    outcome.cached && `${formatCount(outcome.cached, "call")} saved by the cache, read at ${formatTime(outcome.at)}`,
    maxAge && !outcome.cached && formatMaxAge(maxAge),
    outcome.keys && `for ${formatCount(outcome.keys, "key")}`,
    formatBytes(outcome.bytes),
  ];
  return (
    <div className="outcome">
      <Figure text={formatCount(outcome.rows, "row")} kind="rows" value={outcome.rows} max={scale.rows} />
      <Figure text={formatMilliseconds(outcome.ms)} kind="ms" value={outcome.ms} max={scale.ms} />
      <span className="soft details">{details.filter(Boolean).join(" · ")}</span>
      {failed && <strong className="failed">{FAILURES[failed] ?? `Failed: ${failed}.`}</strong>}
    </div>
  );
}

function Figure({ text, ...bar }) {
  return (
    <div className="figure">
      <span>{text}</span>
      <Bar {...bar} />
    </div>
  );
}

function Step({ step, how, what, why }) {
  return (
    <li className="step">
      <PlacementIcon placement={how} />
      <span className="name">{step}</span>
      <code>{what}</code>
      <PlacementLabel placement={how} />
      {why && <span className="reason">{formatReason(why)}</span>}
    </li>
  );
}

function Sql({ statements }) {
  return (
    <details className="sql">
      <summary>SQL</summary>
      {statements.map((text) => (
        <pre key={text}>{text}</pre>
      ))}
    </details>
  );
}
