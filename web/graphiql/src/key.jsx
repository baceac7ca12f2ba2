/** The field for the key, and who came in with it. The key is kept by this tab alone and ends with it. */
import { useState } from "react";

export function KeyBar({ held, me, refusal, onChoose }) {
  return (
    <header className="key-bar">
      {me ? <Person me={me} onLeave={() => onChoose("")} /> : <KeyField key={held} held={held} onChoose={onChoose} />}
      <p className="key-note" role="status">
        {me ? null : (refusal ?? (held ? "Opening…" : "Your key stays in this tab and is forgotten with it."))}
      </p>
    </header>
  );
}

function KeyField({ held, onChoose }) {
  const [text, setText] = useState(held);
  const [shown, setShown] = useState(false);
  const submit = (event) => {
    event.preventDefault();
    onChoose(text.trim());
  };
  return (
    <form className="key-form" onSubmit={submit}>
      <label htmlFor="key">Key</label>
      <input
        id="key"
        type={shown ? "text" : "password"}
        value={text}
        onChange={(event) => setText(event.target.value)}
        placeholder="od_…"
        autoComplete="off"
        spellCheck="false"
      />
      <button type="button" aria-pressed={shown} onClick={() => setShown(!shown)}>
        {shown ? "Hide" : "Show"}
      </button>
      <button type="submit" className="primary">
        Open
      </button>
    </form>
  );
}

function Person({ me, onLeave }) {
  return (
    <div className="person">
      <strong>
        {me.firstName} {me.lastName}
      </strong>
      <ul aria-label="groups">
        {me.groups.map((group) => (
          <li key={group}>{group}</li>
        ))}
      </ul>
      <button type="button" onClick={onLeave}>
        Forget key
      </button>
    </div>
  );
}
