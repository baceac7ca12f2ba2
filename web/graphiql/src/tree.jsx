/** A plan's branches in, the drawn tree out: a box for each read, what it waits for below it. */
import { Bar, HowMark, Legend, placed, SourceMark, Who } from "./marks.jsx";
import { many, milliseconds, sentence, time, weight } from "./words.js";

const PURPOSES = { rows: "rows", tally: "totals", passed: "rows before?", ahead: "rows after?", keys: "keys" };
const FAILURES = {
  SOURCE_UNAVAILABLE: "Its source did not answer.",
  SOURCE_OVERLOADED: "Its source is overloaded, ask again later.",
  SOURCE_INVALID: "Its source answered what cannot be read.",
  LIMIT_EXCEEDED: "It came to a limit, ask for less.",
};

export function Tree({ branches }) {
  const reads = branches.flatMap(readsOf);
  const ran = reads.map((read) => read.ran).filter(Boolean);
  const most = (what) => Math.max(0, ...ran.map((each) => each[what] ?? 0));
  const scale = { places: placed(reads.map((read) => read.source)), rows: most("rows"), ms: most("ms") };
  return (
    <>
      <Whole reads={reads} ran={ran} />
      <Legend hows={new Set(reads.flatMap((read) => read.steps.map((step) => step.how)))} />
      <ul className="plan-tree">
        {branches.map((branch) => (
          <Branch key={branch.key} branch={branch} scale={scale} />
        ))}
      </ul>
    </>
  );
}

function readsOf({ reads, branches }) {
  return [...reads.flatMap(within), ...branches.flatMap(readsOf)];
}

function within(read) {
  return [read, ...read.reads.flatMap(within)];
}

function Whole({ reads, ran }) {
  const own = reads.filter((read) => !read.shared);
  if (!ran.length) return <p className="plan-whole">{many(own.length, "read")} · nothing was read</p>;
  const sum = (what) => ran.reduce((whole, each) => whole + (each[what] ?? 0), 0);
  const slowest = own.reduce((one, each) => ((each.ran?.ms ?? 0) > (one.ran?.ms ?? 0) ? each : one));
  const parts = [
    many(sum("calls"), "call"),
    sum("cached") > 0 && `${many(sum("cached"), "call")} saved`,
    many(sum("rows"), "row"),
    weight(sum("bytes")),
    slowest.ran && `slowest: ${slowest.source} ${slowest.collection}, ${milliseconds(slowest.ran.ms)}`,
  ];
  return <p className="plan-whole">{parts.filter(Boolean).join(" · ")}</p>;
}

function Branch({ branch, scale }) {
  const { type, field, key, to, here, there } = branch;
  return (
    <li className="branch">
      <header className="branch-head">
        <strong>{key}</strong>
        <span className="soft">
          {key === field ? type : `${type}.${field}`} → {to}
        </span>
        {there && (
          <code title="The rows of this field are found by these columns">
            {here ? `${there.join(", ")} = ${here.join(", ")}` : `by ${there.join(", ")}`}
          </code>
        )}
      </header>
      <ul>
        {branch.reads.map((read, number) => (
          <Read key={number} read={read} scale={scale} />
        ))}
        {branch.branches.map((each) => (
          <Branch key={each.key} branch={each} scale={scale} />
        ))}
      </ul>
    </li>
  );
}

function Read({ read, scale }) {
  const place = scale.places.get(read.source);
  return (
    <li className="read">
      <article className={`box edge-${place}${read.shared || read.idle ? " faint" : ""}`}>
        <header>
          <SourceMark place={place} />
          <strong>{read.source}</strong>
          <code title={read.columns && `columns: ${read.columns.join(", ")}`}>{read.collection}</code>
          <span className="purpose">{purpose(read)}</span>
        </header>
        {read.shared && <p className="soft">The same keys as above, read once.</p>}
        {read.idle && !read.shared && <p className="soft">Not asked: no key led here, or what comes first failed.</p>}
        {read.ran && <Ran ran={read.ran} fresh={read.fresh} scale={scale} />}
        {!read.ran && read.fresh && <p className="soft">{kept(read.fresh)}</p>}
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
          {read.reads.map((each, number) => (
            <Read key={number} read={each} scale={scale} />
          ))}
        </ul>
      )}
    </li>
  );
}

function purpose(read) {
  if (read.purpose === "groups") return read.of === "groups" ? "groups" : `groups ${read.of}`;
  return read.brings ? `for ${read.brings.join(", ")}` : PURPOSES[read.purpose];
}

function kept(seconds) {
  return `kept for ${seconds} s`;
}

function Ran({ ran, fresh, scale }) {
  const more = [
    many(ran.calls, "call"),
    ran.cached && `${many(ran.cached, "call")} saved: kept since ${time(ran.at)}`,
    fresh && !ran.cached && kept(fresh),
    ran.keys && `for ${many(ran.keys, "key")}`,
    weight(ran.bytes),
  ];
  return (
    <div className="ran">
      <Figure text={many(ran.rows, "row")} kind="rows" value={ran.rows} most={scale.rows} />
      <Figure text={milliseconds(ran.ms)} kind="ms" value={ran.ms} most={scale.ms} />
      <span className="soft more">{more.filter(Boolean).join(" · ")}</span>
      {ran.failed && <strong className="failed">{FAILURES[ran.failed] ?? `It failed: ${ran.failed}.`}</strong>}
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
      <HowMark how={how} />
      <span className="name">{step}</span>
      <code>{what}</code>
      <Who how={how} />
      {why && <span className="why">{sentence(why)}</span>}
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
