/** The pane beside the question: how the door answers it, drawn as a tree of reads. */
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createContext, useCallback, useContext, useEffect, useState } from "react";
import { Legend, PlanIcon } from "./marks.jsx";
import { Tree } from "./tree.jsx";

/** A question in, the door's reply out: as the page asks it, with its key. */
export const Asking = createContext(null);

export const PLAN = { title: "Plan", icon: PlanIcon, content: Pane };

const NOTHING = { query: null, branches: null, errors: [] };

function Pane() {
  const [only, setOnly] = useState(true);
  const [large, setLarge] = useState(false);
  const [found, waiting, explain] = useExplained(only);
  const now = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.query);
  const changed = found.query !== null && now !== found.query;
  return (
    <section
      className={large ? "plan large" : "plan"}
      aria-label="How this question is answered"
      onKeyDown={({ key }) => key === "Escape" && setLarge(false)}
    >
      <h2 className="plan-title">Plan</h2>
      <div className="plan-bar">
        <div role="group" aria-label="What to do" className="plan-choice">
          <Choice chosen={only} onChoose={() => setOnly(true)} text="Plan only" />
          <Choice chosen={!only} onChoose={() => setOnly(false)} text="With answer" />
        </div>
        <button type="button" className="plan-again" onClick={explain} disabled={waiting}>
          {changed ? "Explain anew" : "Again"}
        </button>
        <button type="button" aria-pressed={large} onClick={() => setLarge(!large)}>
          {large ? "Smaller" : "Larger"}
        </button>
      </div>
      {changed && <p className="plan-note">The question has changed since.</p>}
      {found.errors.length > 0 && (
        <ul className="plan-errors">
          {found.errors.map(({ message }, number) => (
            <li key={number}>{message}</li>
          ))}
        </ul>
      )}
      {found.branches?.length === 0 && <p className="soft">There is nothing to read.</p>}
      {found.branches?.length > 0 && (
        <>
          <Legend />
          <Tree branches={found.branches} open={large} />
        </>
      )}
    </section>
  );
}

function Choice({ chosen, onChoose, text }) {
  return (
    <button type="button" aria-pressed={chosen} onClick={onChoose}>
      {text}
    </button>
  );
}

/** What was found, whether more is waited for, and how to ask again; asks on its own when the pane or a tab is opened. */
function useExplained(only) {
  const ask = useContext(Asking);
  const { updateActiveTabValues } = useGraphiQLActions();
  const queryEditor = useGraphiQL((state) => state.queryEditor);
  const variableEditor = useGraphiQL((state) => state.variableEditor);
  const responseEditor = useGraphiQL((state) => state.responseEditor);
  const operationName = useGraphiQL((state) => state.operationName);
  const tab = useGraphiQL((state) => state.activeTabIndex);
  const [found, setFound] = useState(NOTHING);
  const [waiting, setWaiting] = useState(false);

  const explain = useCallback(async () => {
    const query = queryEditor?.getValue() ?? "";
    if (!query.trim()) return setFound(NOTHING);
    setWaiting(true);
    const reply = await replied(ask, query, variableEditor?.getValue(), operationName, only);
    const { plan, ...more } = reply.extensions?.onedoor ?? {};
    setWaiting(false);
    setFound({ query, branches: plan?.branches ?? null, errors: reply.errors ?? [] });
    if (only || !plan) return;
    const { extensions, ...told } = reply;
    const shown = JSON.stringify(Object.keys(more).length ? { ...told, extensions: { onedoor: more } } : told, null, 2);
    responseEditor?.setValue(shown);
    updateActiveTabValues({ response: shown });
  }, [ask, only, operationName, queryEditor, responseEditor, updateActiveTabValues, variableEditor]);

  useEffect(() => {
    // The editor takes up the question of another tab only after the tab has changed.
    const soon = setTimeout(explain, 50);
    return () => clearTimeout(soon);
  }, [ask, only, queryEditor, tab]); // not when only the name of the operation is found out

  return [found, waiting, explain];
}

async function replied(ask, query, text, operationName, only) {
  try {
    const variables = text?.trim() ? JSON.parse(text) : {};
    return await ask({ query, variables, operationName, extensions: { onedoor: { plan: only ? "ONLY" : true } } });
  } catch (error) {
    const message = error instanceof SyntaxError ? "The variables are no JSON." : "The door cannot be reached now.";
    return { errors: [{ message }] };
  }
}
