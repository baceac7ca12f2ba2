/** Ask for an API key, and show whose it is. The key is stored in this tab only and ends with it. */
import { useState } from "react";

const PRIVACY_NOTE = "Your key stays in this tab and is forgotten when the tab is closed.";

export function KeyBar({ apiKey, me, refusal, onChange }) {
  return (
    <header className="key-bar">
      {me ? (
        <Person me={me} onForget={() => onChange("")} />
      ) : (
        <KeyForm key={apiKey} apiKey={apiKey} onChange={onChange} />
      )}
      <p className="key-note" role="status">
        {me ? null : (refusal ?? (apiKey ? "Connecting…" : PRIVACY_NOTE))}
      </p>
    </header>
  );
}

function KeyForm({ apiKey, onChange }) {
  const [text, setText] = useState(apiKey);
  const [visible, setVisible] = useState(false);
  const submit = (event) => {
    event.preventDefault();
    onChange(text.trim());
  };
  return (
    <form className="key-form" onSubmit={submit}>
      <label htmlFor="key">API key</label>
      <input
        id="key"
        type={visible ? "text" : "password"}
        value={text}
        onChange={(event) => setText(event.target.value)}
        placeholder="od_…"
        autoComplete="off"
        spellCheck="false"
      />
      <button type="button" aria-pressed={visible} onClick={() => setVisible(!visible)}>
        {visible ? "Hide" : "Show"}
      </button>
      <button type="submit" className="primary">
        Connect
      </button>
    </form>
  );
}

function Person({ me, onForget }) {
  return (
    <div className="person">
      <strong>
        {me.firstName} {me.lastName}
      </strong>
      <ul aria-label="Groups">
        {me.groups.map((group) => (
          <li key={group}>{group}</li>
        ))}
      </ul>
      <button type="button" onClick={onForget}>
        Forget key
      </button>
    </div>
  );
}
