/** Show the API key on top, GraphiQL below it, and under each response its errors in words. */
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useCallback, useEffect, useState } from "react";
import { CLOSED, dropStaleOperationName, executeOrSubscribe, openSession } from "./client.js";
import { ResponseErrors } from "./errors.jsx";
import { EXAMPLES } from "./examples.js";
import { KeyBar } from "./key.jsx";
import { FetcherContext, PLAN_PLUGIN } from "./plan.jsx";

const STORED_KEY = "onedoor.key";
const PLUGINS = [HISTORY_PLUGIN, PLAN_PLUGIN];

export function Page() {
  const [apiKey, setApiKey] = useState(() => sessionStorage.getItem(STORED_KEY) ?? "");
  const [session, setSession] = useState(CLOSED);
  const fetcher = useCallback((request) => executeOrSubscribe(apiKey, dropStaleOperationName(request)), [apiKey]);

  useEffect(() => {
    let current = true;
    setSession(CLOSED);
    if (apiKey) openSession(apiKey).then((opened) => current && setSession(opened));
    return () => (current = false);
  }, [apiKey]);

  const changeKey = (newKey) => {
    if (newKey) sessionStorage.setItem(STORED_KEY, newKey);
    else sessionStorage.removeItem(STORED_KEY);
    setApiKey(newKey);
  };

  return (
    <>
      <KeyBar apiKey={apiKey} me={session.me} refusal={session.refusal} onChange={changeKey} />
      <main>
        <FetcherContext value={fetcher}>
          <GraphiQL
            fetcher={fetcher}
            schema={session.schema}
            plugins={PLUGINS}
            defaultTabs={EXAMPLES}
            storage={sessionStorage}
            isHeadersEditorEnabled={false}
            shouldPersistHeaders={false}
          >
            <GraphiQL.Logo>
              <a href="/graphiql">Onedoor</a>
            </GraphiQL.Logo>
            <GraphiQL.Footer>
              <ResponseErrors />
            </GraphiQL.Footer>
          </GraphiQL>
        </FetcherContext>
      </main>
    </>
  );
}
