/** Small drawings: what becomes of a step, the sources, the pane's own sign. */

/** What becomes of a step: its drawing's path, who takes it in a word, and what that means. */
export const HOWS = {
  PUSHED_DOWN: { path: "M7 1.5v7M4 6l3 3 3-3M2.5 12h9", who: "source", text: "pushed down" },
  IN_PARTS: {
    path: "M4 1.5v7M2 6.5l2 2 2-2M10 1.5v7M8 6.5l2 2 2-2M2.5 12h9",
    who: "source, in parts",
    text: "the door puts them together",
  },
  CARRIED: {
    path: "M1.5 4.5h10M9 2l2.5 2.5L9 7M12.5 9.5h-10M5 7L2.5 9.5 5 12",
    who: "carried",
    text: "keys from another read",
  },
  FINISHED: { path: "M3 12.5v-11h8v11M1.5 12.5h11M8.5 7v.5", who: "door", text: "finished by us" },
  OPEN: {
    path: "M4 4.500a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.100-1.500 2.100M7 12v.3",
    who: "open",
    text: "the keys that come first decide",
  },
};

const SHAPES = [
  <circle key="circle" cx="8" cy="8" r="6" />,
  <rect key="square" x="2.5" y="2.5" width="11" height="11" rx="2" />,
  <path key="diamond" d="M8 1.2L14.8 8 8 14.8 1.2 8z" />,
  <path key="triangle" d="M8 2l6.6 11.6H1.4z" />,
  <path key="hexagon" d="M4.5 2h7L15 8l-3.5 6h-7L1 8z" />,
  <path key="drop" d="M8 1c3 4 5 6 5 8.500a5 5 0 0 1-10 0C3 7 5 5 8 1z" />,
  <path key="plus" d="M5.5 1.500h5v4h4v5h-4v4h-5v-4h-4v-5h4z" />,
  <path key="flag" d="M1.5 2.500h13L11 8l3.5 5.500h-13z" />,
];

/** Each source's place among shapes and colours: by its name, and no two alike while there are enough. */
export function placed(sources) {
  const places = new Map();
  const taken = new Set();
  for (const name of [...new Set(sources)].sort()) {
    let place = [...name].reduce((sum, sign) => (sum * 31 + sign.charCodeAt(0)) % 997, 7) % SHAPES.length;
    while (taken.has(place) && taken.size < SHAPES.length) place = (place + 1) % SHAPES.length;
    places.set(name, place);
    taken.add(place);
  }
  return places;
}

export function SourceMark({ place }) {
  return (
    <svg className={`source-mark source-${place}`} viewBox="0 0 16 16" aria-hidden="true">
      {SHAPES[place]}
    </svg>
  );
}

export function HowMark({ how }) {
  return (
    <svg className={`how how-${how}`} viewBox="0 0 14 14" aria-hidden="true">
      <path d={HOWS[how].path} />
    </svg>
  );
}

/** Who takes a step, in a word of the mark's colour. */
export function Who({ how }) {
  return (
    <strong className={`who how-${how}`} title={HOWS[how].text}>
      {HOWS[how].who}
    </strong>
  );
}

/** Of the marks that are there to be seen. */
export function Legend({ hows }) {
  return (
    <ul className="plan-legend" aria-label="Who takes a step">
      {Object.keys(HOWS)
        .filter((how) => hows.has(how))
        .map((how) => (
          <li key={how}>
            <HowMark how={how} /> <Who how={how} /> {HOWS[how].text}
          </li>
        ))}
    </ul>
  );
}

/** A bar as long as its share of the most there is. */
export function Bar({ kind, value, most }) {
  const share = most ? Math.max(value / most, value ? 0.02 : 0) : 0;
  return (
    <svg className={`bar bar-${kind}`} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect className="bar-whole" width="100" height="4" />
      <rect className="bar-share" width={share * 100} height="4" />
    </svg>
  );
}

export function PlanIcon() {
  return (
    <svg viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
      <rect x="6.5" y="1.5" width="7" height="4.5" rx="1" />
      <rect x="1.5" y="13.5" width="6" height="4.5" rx="1" />
      <rect x="12.5" y="13.5" width="6" height="4.5" rx="1" />
      <path d="M10 6v3.500M4.5 13.500v-4h11v4" />
    </svg>
  );
}
