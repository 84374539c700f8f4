// One process of a deployment in which secrets get another key. Started by the tests of mfa.
import { type SecretKey, SecretRotationService } from '../../src/index.js';
import { answerWhenTold, startProcessApp } from './process-app.js';

const [url, keys] = process.argv.slice(2) as [string, string];

const app = await startProcessApp(
  url,
  { secrets: { keys: JSON.parse(keys) as SecretKey[] }, log: { failedTransactions: false } },
  { pool: 5 },
);
answerWhenTold(app, () => app.get(SecretRotationService).rotateSecrets({ chunkSize: 3 }));
