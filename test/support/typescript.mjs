// node --import ./test/support/typescript.mjs file.ts
//
// Runs TypeScript as it lies in the repository: no build, no further tool. Node's own type stripping cannot be used,
// because Nest and TypeORM need the decorator metadata that only a real transform emits.
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
