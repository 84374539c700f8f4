// What happens inside the callback and after COMMIT; the other half of the matrix is in fault-matrix.test.ts.
import { meetEachOperation } from './fault-matrix.js';
import { afterCommitFaults } from './faults/after-commit.js';
import { callbackFaults } from './faults/callback.js';

meetEachOperation([...callbackFaults, ...afterCommitFaults]);
