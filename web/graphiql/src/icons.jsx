/** Draw small icons: where a step runs, the sources, the pane itself. */

/** Where a step runs: its icon's path, a label, and what that means. */
export const PLACEMENTS = {
  PUSHED_DOWN: { path: "M7 1.5v7M4 6l3 3 3-3M2.5 12h9", label: "source", text: "pushed down" },
  IN_PARTS: {
    path: "M4 1.5v7M2 6.5l2 2 2-2M10 1.5v7M8 6.5l2 2 2-2M2.5 12h9",
    label: "source, in parts",
    text: "combined by Onedoor",
  },
  CARRIED: {
    path: "M1.5 4.5h10M9 2l2.5 2.5L9 7M12.5 9.5h-10M5 7L2.5 9.5 5 12",
    label: "semi-join",
    text: "filtered by keys from another read",
  },
  FINISHED: { path: "M3 12.5v-11h8v11M1.5 12.5h11M8.5 7v.5", label: "Onedoor", text: "computed after the read" },
  OPEN: {
    path: "M4 4.500a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.100-1.500 2.100M7 12v.3",
    label: "open",
    text: "depends on the keys that are read first",
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

/** Choose each source's shape and colour by its name, no two alike while there are enough; return their numbers. */
export function assignShapes(sources) {
  const shapes = new Map();
  const taken = new Set();
  for (const name of [...new Set(sources)].sort()) {
    let shape = [...name].reduce((hash, letter) => (hash * 31 + letter.charCodeAt(0)) % 997, 7) % SHAPES.length;
    while (taken.has(shape) && taken.size < SHAPES.length) shape = (shape + 1) % SHAPES.length;
    shapes.set(name, shape);
    taken.add(shape);
  }
  return shapes;
}

export function SourceIcon({ shape }) {
  return (
    <svg className={`source-icon source-${shape}`} viewBox="0 0 16 16" aria-hidden="true">
      {SHAPES[shape]}
    </svg>
  );
}

export function PlacementIcon({ placement }) {
  return (
    <svg className={`placement-icon placement-${placement}`} viewBox="0 0 14 14" aria-hidden="true">
      <path d={PLACEMENTS[placement].path} />
    </svg>
  );
}

/** Say where a step runs, in the icon's colour. */
export function PlacementLabel({ placement }) {
  return (
    <strong className={`placement placement-${placement}`} title={PLACEMENTS[placement].text}>
      {PLACEMENTS[placement].label}
    </strong>
  );
}

/** Explain the icons that the plan shows. */
export function Legend({ placements }) {
  return (
    <ul className="plan-legend" aria-label="Where each step runs">
      {Object.keys(PLACEMENTS)
        .filter((placement) => placements.has(placement))
        .map((placement) => (
          <li key={placement}>
            <PlacementIcon placement={placement} /> <PlacementLabel placement={placement} />{" "}
            {PLACEMENTS[placement].text}
          </li>
        ))}
    </ul>
  );
}

/** Draw a bar as long as the value's share of the maximum. */
export function Bar({ kind, value, max }) {
  const share = max ? Math.max(value / max, value ? 0.02 : 0) : 0;
  return (
    <svg className={`bar bar-${kind}`} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect className="bar-track" width="100" height="4" />
      <rect className="bar-fill" width={share * 100} height="4" />
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
