/** Show how the server executes the query in the editor, drawn as a tree of reads. */
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createContext, useCallback, useContext, useEffect, useRef, useState } from "react";
import { UNREACHABLE } from "./client.js";
import { ErrorList } from "./errors.jsx";
import { PlanIcon } from "./icons.jsx";
import { Tree } from "./tree.jsx";

/** The page's fetcher: sends a request with its API key, and returns the response. */
export const FetcherContext = createContext(null);

export const PLAN_PLUGIN = { title: "Plan", icon: PlanIcon, content: PlanPane };

// The values of `extensions.onedoor.plan` in a request.
const PLAN_ONLY = "ONLY";
const PLAN_AND_RUN = true;
const NO_PLAN = { query: null, branches: null, errors: [] };

function PlanPane() {
  const [maximized, setMaximized] = useState(false);
  const [plan, loading, explain] = useExplain();
  const currentQuery = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.query);
  const changed = plan.query !== null && currentQuery !== plan.query;
  return (
    <section
      className={maximized ? "plan maximized" : "plan"}
      aria-label="Plan of this query"
      aria-busy={loading}
      onKeyDown={({ key }) => key === "Escape" && setMaximized(false)}
    >
      <h2 className="plan-title">Plan</h2>
      <div className="plan-bar">
        <button type="button" onClick={() => explain(PLAN_ONLY)} title="Plans the query without running it">
          Plan only
        </button>
        <button type="button" onClick={() => explain(PLAN_AND_RUN)} title="Runs the query and shows what each read did">
          Plan and run
        </button>
        <button type="button" aria-pressed={maximized} onClick={() => setMaximized(!maximized)}>
          {maximized ? "Restore" : "Maximize"}
        </button>
      </div>
      <p className="plan-note" role="status">
        {loading ? "Loading…" : changed ? "The query has changed since it was planned." : null}
      </p>
      <PlanResult {...plan} />
    </section>
  );
}

function PlanResult({ query, branches, errors }) {
  if (query === null) return <p className="soft">Write a query, then plan it.</p>;
  return (
    <>
      {errors.length > 0 && (
        <div className="errors">
          {branches && <p className="soft">Not in the plan, because you have no access to it:</p>}
          <ErrorList errors={errors} />
        </div>
      )}
      {branches?.length === 0 && <p className="soft">This query reads nothing from any source.</p>}
      {branches?.length > 0 && <Tree branches={branches} />}
    </>
  );
}

/** Return the plan, whether it is loading, and how to load it. A change of tabs loads the plan only. */
function useExplain() {
  const fetcher = useContext(FetcherContext);
  const { updateActiveTabValues } = useGraphiQLActions();
  const queryEditor = useGraphiQL((state) => state.queryEditor);
  const variableEditor = useGraphiQL((state) => state.variableEditor);
  const responseEditor = useGraphiQL((state) => state.responseEditor);
  const operationName = useGraphiQL((state) => state.operationName);
  const tab = useGraphiQL((state) => state.activeTabIndex);
  const [result, setResult] = useState(NO_PLAN);
  const [loading, setLoading] = useState(false);
  const lastRequest = useRef(0);

  const explain = useCallback(
    async (mode) => {
      const thisRequest = ++lastRequest.current;
      const query = queryEditor?.getValue() ?? "";
      setLoading(Boolean(query.trim()));
      if (!query.trim()) return setResult(NO_PLAN);
      const response = await requestPlan(fetcher, query, variableEditor?.getValue(), operationName, mode);
      if (thisRequest !== lastRequest.current) return;
      const { plan, ...otherExtensions } = response.extensions?.onedoor ?? {};
      const executed = mode === PLAN_AND_RUN && plan;
      setLoading(false);
      setResult({ query, branches: plan?.branches ?? null, errors: executed ? [] : (response.errors ?? []) });
      if (!executed) return;
      const { extensions, ...body } = response;
      const rest = Object.keys(otherExtensions).length ? { extensions: { onedoor: otherExtensions } } : {};
      const text = JSON.stringify({ ...body, ...rest }, null, 2);
      responseEditor?.setValue(text);
      updateActiveTabValues({ response: text });
    },
    [fetcher, operationName, queryEditor, responseEditor, updateActiveTabValues, variableEditor],
  );

  useEffect(() => {
    // The editor shows the query of another tab only after the tab has changed.
    const timer = setTimeout(() => explain(PLAN_ONLY), 50);
    return () => {
      clearTimeout(timer);
      lastRequest.current++;
    };
  }, [fetcher, queryEditor, tab]); // not when GraphiQL finds out the name of the operation

  return [result, loading, explain];
}

async function requestPlan(fetcher, query, variablesText, operationName, mode) {
  try {
    const variables = variablesText?.trim() ? JSON.parse(variablesText) : {};
    return await fetcher({ query, variables, operationName, extensions: { onedoor: { plan: mode } } });
  } catch (error) {
    const message = error instanceof SyntaxError ? "The variables are not valid JSON." : UNREACHABLE;
    return { errors: [{ message }] };
  }
}
