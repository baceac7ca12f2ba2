/** The key on top, GraphiQL below, and under each answer what it withheld and whom to ask. */
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useCallback, useEffect, useState } from "react";
import { current, opened, SHUT, told } from "./door.js";
import { EXAMPLES } from "./examples.js";
import { Faults } from "./faults.jsx";
import { KeyBar } from "./key.jsx";
import { Asking, PLAN } from "./plan.jsx";

const KEY = "onedoor.key";
const PLUGINS = [HISTORY_PLUGIN, PLAN];

export function Page() {
  const [key, setKey] = useState(() => sessionStorage.getItem(KEY) ?? "");
  const [door, setDoor] = useState(SHUT);
  const fetcher = useCallback((question) => told(key, current(question)), [key]);

  useEffect(() => {
    let current = true;
    setDoor(SHUT);
    if (key) opened(key).then((found) => current && setDoor(found));
    return () => (current = false);
  }, [key]);

  const choose = (chosen) => {
    if (chosen) sessionStorage.setItem(KEY, chosen);
    else sessionStorage.removeItem(KEY);
    setKey(chosen);
  };

  return (
    <>
      <KeyBar held={key} me={door.me} refusal={door.refusal} onChoose={choose} />
      <main>
        <Asking value={fetcher}>
          <GraphiQL
            fetcher={fetcher}
            schema={door.schema}
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
              <Faults />
            </GraphiQL.Footer>
          </GraphiQL>
        </Asking>
      </main>
    </>
  );
}
