/** Render the page. */
import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "./page.css";
import "./plan.css";
import { createRoot } from "react-dom/client";
import { Page } from "./page.jsx";

createRoot(document.getElementById("page")).render(<Page />);
