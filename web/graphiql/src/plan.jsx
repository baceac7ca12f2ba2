/** The pane beside the question: how the door answers it, drawn as a tree of reads. */
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createContext, useCallback, useContext, useEffect, useRef, useState } from "react";
import { Told } from "./faults.jsx";
import { PlanIcon } from "./marks.jsx";
import { Tree } from "./tree.jsx";

/** A question in, the door's reply out: as the page asks it, with its key. */
export const Asking = createContext(null);

export const PLAN = { title: "Plan", icon: PlanIcon, content: Pane };

const ONLY = "ONLY";
const WITH_ANSWER = true;
const NOTHING = { query: null, branches: null, errors: [] };

function Pane() {
  const [large, setLarge] = useState(false);
  const [found, waiting, explain] = useExplained();
  const now = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.query);
  const changed = found.query !== null && now !== found.query;
  return (
    <section
      className={large ? "plan large" : "plan"}
      aria-label="How this question is answered"
      aria-busy={waiting}
      onKeyDown={({ key }) => key === "Escape" && setLarge(false)}
    >
      <h2 className="plan-title">Plan</h2>
      <div className="plan-bar">
        <button type="button" onClick={() => explain(ONLY)} title="Nothing is read">
          Plan only
        </button>
        <button type="button" onClick={() => explain(WITH_ANSWER)} title="The question is asked, too">
          Plan with the answer
        </button>
        <button type="button" aria-pressed={large} onClick={() => setLarge(!large)}>
          {large ? "Smaller" : "Larger"}
        </button>
      </div>
      <p className="plan-note" role="status">
        {waiting ? "Asking…" : changed ? "The question has changed: ask for its plan anew." : null}
      </p>
      <Found {...found} />
    </section>
  );
}

function Found({ query, branches, errors }) {
  if (query === null) return <p className="soft">Write a question, and ask for its plan.</p>;
  return (
    <>
      {errors.length > 0 && (
        <div className="faults">
          {branches && <p className="soft">Not planned, as it is not for you:</p>}
          <Told errors={errors} />
        </div>
      )}
      {branches?.length === 0 && <p className="soft">There is nothing to read.</p>}
      {branches?.length > 0 && <Tree branches={branches} />}
    </>
  );
}

/** What was found, whether more is waited for, and how to ask; the plan alone is asked for when a tab comes to the front. */
function useExplained() {
  const ask = useContext(Asking);
  const { updateActiveTabValues } = useGraphiQLActions();
  const queryEditor = useGraphiQL((state) => state.queryEditor);
  const variableEditor = useGraphiQL((state) => state.variableEditor);
  const responseEditor = useGraphiQL((state) => state.responseEditor);
  const operationName = useGraphiQL((state) => state.operationName);
  const tab = useGraphiQL((state) => state.activeTabIndex);
  const [found, setFound] = useState(NOTHING);
  const [waiting, setWaiting] = useState(false);
  const latest = useRef(0);

  const explain = useCallback(
    async (how) => {
      const mine = ++latest.current;
      const query = queryEditor?.getValue() ?? "";
      setWaiting(Boolean(query.trim()));
      if (!query.trim()) return setFound(NOTHING);
      const reply = await replied(ask, query, variableEditor?.getValue(), operationName, how);
      if (mine !== latest.current) return;
      const { plan, ...more } = reply.extensions?.onedoor ?? {};
      const answered = how === WITH_ANSWER && plan;
      setWaiting(false);
      setFound({ query, branches: plan?.branches ?? null, errors: answered ? [] : (reply.errors ?? []) });
      if (!answered) return;
      const { extensions, ...told } = reply;
      const rest = Object.keys(more).length ? { extensions: { onedoor: more } } : {};
      const shown = JSON.stringify({ ...told, ...rest }, null, 2);
      responseEditor?.setValue(shown);
      updateActiveTabValues({ response: shown });
    },
    [ask, operationName, queryEditor, responseEditor, updateActiveTabValues, variableEditor],
  );

  useEffect(() => {
    // The editor takes up the question of another tab only after the tab has changed.
    const soon = setTimeout(() => explain(ONLY), 50);
    return () => {
      clearTimeout(soon);
      latest.current++;
    };
  }, [ask, queryEditor, tab]); // not when only the name of the operation is found out

  return [found, waiting, explain];
}

async function replied(ask, query, text, operationName, how) {
  try {
    const variables = text?.trim() ? JSON.parse(text) : {};
    return await ask({ query, variables, operationName, extensions: { onedoor: { plan: how } } });
  } catch (error) {
    const message = error instanceof SyntaxError ? "The variables are not JSON." : "The door cannot be reached now.";
    return { errors: [{ message }] };
  }
}
