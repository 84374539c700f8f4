// One process of a deployment that rotates one key many times at once, when it is told to. Started by the tests of keys.
import { ApiKeyService, type ApiKeyOwner } from '../../src/index.js';
import { answersOf, answerWhenTold, startProcessApp } from './process-app.js';

const [url, owner, keyId, options, calls] = process.argv.slice(2) as [string, string, string, string, string];
const app = await startProcessApp(url, { apiKeys: {} });
const keys = app.get(ApiKeyService);
const rotate = async (): Promise<string> =>
  (await keys.rotateApiKey(JSON.parse(owner) as ApiKeyOwner, keyId, JSON.parse(options) as object)).secret;

answerWhenTold(app, () =>
  answersOf(
    Array.from({ length: Number(calls) }, () => rotate()),
    (code) => code,
  ),
);
