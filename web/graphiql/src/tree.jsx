/** A plan's branches in, the drawn tree out: a box for each read, what it waits for below it. */
import { Bar, HowMark, placed, SourceMark } from "./marks.jsx";

const NUMBER = new Intl.NumberFormat("en-GB");
const SHORT = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });
const PURPOSES = { rows: "rows", tally: "totals", passed: "rows before?", ahead: "rows after?", keys: "keys" };

export function Tree({ branches, open }) {
  const reads = branches.flatMap(readsOf);
  const ran = reads.map((read) => read.ran).filter(Boolean);
  const most = (what) => Math.max(0, ...ran.map((each) => each[what]));
  const scale = { places: placed(reads.map((read) => read.source)), rows: most("rows"), ms: most("ms"), open };
  return (
    <>
      <Whole reads={reads} ran={ran} />
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
  const sum = (what) => ran.reduce((whole, each) => whole + (each[what] ?? 0), 0);
  const own = reads.filter((read) => !read.shared);
  const parts = ran.length
    ? [many(sum("calls"), "call"), many(sum("rows"), "row"), weight(sum("bytes"))]
    : [many(own.length, "read"), "nothing was read"];
  return <p className="plan-whole">{parts.join(" · ")}</p>;
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
        {read.idle && !read.shared && <p className="soft">Not asked: no key led here.</p>}
        {read.ran && <Ran ran={read.ran} scale={scale} />}
        {read.steps.length > 0 && (
          <ul className="steps">
            {read.steps.map((step, number) => (
              <Step key={number} step={step} open={scale.open} />
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
  if (read.purpose === "groups") return `groups ${read.of}`.replace("groups groups", "groups");
  return read.brings ? `for ${read.brings.join(", ")}` : PURPOSES[read.purpose];
}

function Ran({ ran, scale }) {
  const more = [
    ran.calls === 0 ? null : many(ran.calls, "call"),
    ran.cached ? `${NUMBER.format(ran.cached)} kept` : null,
    ran.keys ? many(ran.keys, "key") : null,
    weight(ran.bytes),
  ];
  return (
    <div className="ran">
      <Figure text={many(ran.rows, "row")} kind="rows" value={ran.rows} most={scale.rows} />
      <Figure text={`${ran.ms.toFixed(ran.ms < 10 ? 1 : 0)} ms`} kind="ms" value={ran.ms} most={scale.ms} />
      <span className="soft more">{more.filter(Boolean).join(" · ")}</span>
      {ran.failed && <strong className="failed">{ran.failed}</strong>}
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

function Step({ step, open }) {
  const line = (
    <>
      <HowMark how={step.how} />
      <span className="name">{step.step}</span>
      <code>{step.what}</code>
    </>
  );
  if (!step.why || open)
    return (
      <li className="step">
        {line}
        {step.why && <span className="why">{sentence(step.why)}</span>}
      </li>
    );
  return (
    <li>
      <details>
        <summary className="step" title={sentence(step.why)}>
          {line}
        </summary>
        <p className="why">{sentence(step.why)}</p>
      </details>
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

/** A reason as a sentence; names keep their case. */
function sentence(text) {
  const plain = text.replaceAll("`", "");
  return `${text.startsWith("`") ? plain : plain[0].toUpperCase() + plain.slice(1)}.`;
}

function many(count = 0, what) {
  return `${NUMBER.format(count)} ${what}${count === 1 ? "" : "s"}`;
}

function weight(bytes = 0) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${SHORT.format(bytes / 1000)} kB` : `${SHORT.format(bytes / 1_000_000)} MB`;
}
