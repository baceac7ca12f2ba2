/** Build forms that carry out one mutation each, with what went wrong in words beside the button. */
import { mutate } from "./client.js";
import { byId, element, hint } from "./elements.js";

let controls = 0;

export const REASON = { name: "reason", label: "Reason", required: true, maxlength: 1000 };

export const OPTIONAL_REASON = { ...REASON, label: "Reason (if you like)", required: false };

/**
 * Return a form. Its `fields` and the given `input` are the input of the `mutation`, and `done` gets the row that
 * it returns, with the fields of `select`.
 */
export function mutationForm({ mutation, button, fields = [], input = {}, select = "id", danger = false, done }) {
  const drawn = fields.map(drawField);
  const send = element("button", { type: "submit", class: danger ? "danger" : "primary" }, button);
  const refusal = element("p", { role: "alert", class: "refusal" });
  const form = element(
    "form",
    { class: "act" },
    drawn.map(({ node }) => node),
    send,
    refusal,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    refusal.textContent = "";
    try {
      const values = await Promise.all(drawn.map(async ({ name, read }) => [name, await read()]));
      const given = Object.fromEntries(values.filter(([, value]) => value !== undefined));
      await done(await mutate(mutation, { ...input, ...given }, select));
    } catch (reason) {
      refusal.textContent = reason.message;
    } finally {
      form.ariaBusy = "false";
    }
  });
  return form;
}

/** Return a field of a form: its node, and what reads its value; undefined is not sent. */
function drawField({ name, label, kind = "text", about, options, value, ...attributes }) {
  const id = `field-${(controls += 1)}`;
  const named = { id, name, "aria-describedby": about ? `${id}-about` : null, ...attributes };
  const explanation = about ? element("span", { id: `${id}-about`, class: "hint" }, about) : null;
  if (kind === "choices") return drawChoices({ name, label, options, explanation });
  const control = drawControl(kind, named, options, value);
  const labelled = element("label", { for: id }, label);
  const parts = kind === "checkbox" ? [control, labelled] : [labelled, control];
  return {
    name,
    node: element("div", { class: `field ${kind}` }, parts, explanation),
    read: () => READ[kind](control),
  };
}

function drawControl(kind, attributes, options, value) {
  if (kind === "select") {
    return element(
      "select",
      attributes,
      [["", "Choose…"], ...options].map(([option, text]) => choose(option, text, value)),
    );
  }
  if (kind === "textarea") return element("textarea", { rows: 3, ...attributes }, value ?? "");
  return element("input", { type: kind === "attribute" ? "text" : kind, autocomplete: "off", value, ...attributes });
}

const choose = (option, text, value) => element("option", { value: option, selected: option === value }, text);

function drawChoices({ name, label, options, explanation }) {
  const boxes = options.map(([value, text]) => {
    const box = element("input", { type: "checkbox", value });
    return { box, node: element("label", {}, box, text) };
  });
  const nodes = boxes.map(({ node }) => node);
  return {
    name,
    node: element(
      "fieldset",
      {},
      element("legend", {}, label),
      element("div", { class: "choices" }, nodes),
      explanation,
    ),
    read: () => boxes.filter(({ box }) => box.checked).map(({ box }) => box.value),
  };
}

const readText = ({ value }) => value.trim() || undefined;

/** Read "region north south" as one attribute with two values. */
function readAttribute({ value }) {
  const [name, ...values] = value.trim().split(/\s+/);
  return [{ name, values }];
}

const READ = {
  text: readText,
  email: readText,
  textarea: readText,
  select: readText,
  attribute: readAttribute,
  number: ({ value }) => (value === "" ? undefined : Number(value)),
  checkbox: ({ checked }) => checked || undefined,
  file: ({ files }) => files[0]?.text(),
  "datetime-local": ({ value }) => (value ? new Date(value).toISOString() : undefined),
};

/** Show a key that no other answer shows, and put it where it is seen and read out. */
export function showIssuedKey({ key, expiresAt }, whose, ...notes) {
  const shown = element("input", { id: "issued", readonly: true, value: key, spellcheck: false });
  const copy = element("button", { type: "button", class: "primary" }, "Copy");
  copy.addEventListener("click", async () => {
    shown.select();
    await navigator.clipboard?.writeText(key);
    copy.textContent = navigator.clipboard ? "Copied" : "Selected: copy it";
  });
  const close = element("button", { type: "button" }, "I have kept it");
  close.addEventListener("click", () => byId("issue").replaceChildren());
  byId("issue").replaceChildren(
    element(
      "section",
      { class: "issued" },
      element("h2", { tabindex: -1 }, `The key of ${whose}`),
      hint(`It is shown this once and stored nowhere. It expires on ${expiresAt.slice(0, 10)}.`),
      notes.map((note) => hint(note)),
      element("label", { for: "issued" }, "Key"),
      element("div", { class: "row" }, shown, copy, close),
    ),
  );
  byId("issue").querySelector("h2").focus();
}
