// One process of a deployment in which many requests refresh one session at once. Started by the tests of sessions.
import { AuthService, type SessionKey } from '../../src/index.js';
import { answersOf, answerWhenTold, startProcessApp } from './process-app.js';

const [url, keys, token, count] = process.argv.slice(2) as [string, string, string, string];

const app = await startProcessApp(url, { session: { keys: JSON.parse(keys) as SessionKey[] } });
const auth = app.get(AuthService);
answerWhenTold(app, () => {
  const calls = Array.from({ length: Number(count) }, async () => (await auth.refresh(token)).refreshToken);
  return answersOf(calls, (code) => code);
});
