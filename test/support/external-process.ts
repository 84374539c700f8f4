// One process of a deployment to which many people come back from a provider at once. Started by the tests of signing in by providers.
import { type ExternalAnswer, ExternalSignInService, type SessionKey } from '../../src/index.js';
import { paperProvider } from './paper-provider.js';
import { answersOf, answerWhenTold, startProcessApp } from './process-app.js';

const [url, keys, answers] = process.argv.slice(2) as [string, string, string];

const app = await startProcessApp(url, {
  session: { keys: JSON.parse(keys) as SessionKey[] },
  identityProviders: [paperProvider('trusted', { signUp: true, trustsEmail: true })],
});
const external = app.get(ExternalSignInService);
answerWhenTold(app, () => {
  const calls = (JSON.parse(answers) as ExternalAnswer[]).map(async (answer) => {
    const { userId, account } = await external.completeSignIn(answer);
    return { userId, account };
  });
  return answersOf(calls, (code) => ({ code }));
});
