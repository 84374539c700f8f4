// Read on the compiled output, where `import type` is gone and only what is loaded at run time is left.
import { RIM, ROOMS, SEPARATE } from './rooms.mjs';

const ENTITY = '\\.entity\\.js$';
const inside = (rooms) => `^dist/src/(${rooms.join('|')})/`;
const error = (name, from, to) => ({ name, severity: 'error', from, to });

export const rules = [
  ...ROOMS.flatMap((room, level) => {
    const below = inside(ROOMS.slice(0, level + 1));
    return [
      error(`${room}-imports-downwards`, { path: inside([room]), pathNot: ENTITY }, { path: '^dist/', pathNot: below }),
      // The two sides of a relation name each other, so between entities alone an arrow may point up.
      error(
        `${room}-entities-import-downwards`,
        { path: `${inside([room])}.*${ENTITY}` },
        { path: '^dist/', pathNot: [below, ENTITY] },
      ),
    ];
  }),
  // The rim may import every room, the files at the root of src and the migrations, but no other part of the rim.
  ...RIM.map((room) =>
    error(`${room}-keeps-to-itself`, { path: inside([room]) }, { path: inside(RIM.filter((other) => other !== room)) }),
  ),
  error('nothing-leaves-the-package', { path: '^dist/' }, { path: '^dist/', pathNot: '^dist/(src|migrations)/' }),
  // A new directory has to be given its place in rooms.mjs before it passes.
  error('every-room-has-a-place', { path: '^dist/src/[^/]+/', pathNot: inside([...ROOMS, ...RIM]) }, {}),
  error('front-door-leaves-entries-out', { path: '^dist/src/[^/]+$' }, { path: inside(Object.keys(SEPARATE)) }),
  ...Object.entries(SEPARATE).map(([room, peer]) =>
    error(`only-${room}-loads-its-peer`, { path: '^dist/', pathNot: inside([room]) }, { path: `node_modules/${peer}` }),
  ),
  error(
    'migrations-are-plain-sql',
    { path: '^dist/migrations/' },
    { pathNot: ['^dist/migrations/', '^node_modules/typeorm/'] },
  ),
  // Every cycle but that of two entities makes the order of loading matter.
  error('no-cycle', { path: '^dist/' }, { circular: true, via: { pathNot: ENTITY } }),
  error('nothing-unresolvable', { path: '^dist/' }, { couldNotResolve: true }),
  // The tool takes the entry in peerDependenciesMeta, too, for a place of its own that it does not know.
  error(
    'nothing-undeclared',
    { path: '^dist/' },
    { dependencyTypes: ['npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['npm-peer'] },
  ),
  error(
    'no-development-dependency',
    { path: '^dist/' },
    { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm', 'npm-peer', 'npm-optional'] },
  ),
];
