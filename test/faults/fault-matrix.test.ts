// What happens to connections, servers and pools; what happens inside the callback and after COMMIT is beside it.
import { meetEachOperation } from './fault-matrix.js';
import { connectionFaults } from './faults/connection.js';
import { poolFaults } from './faults/pool.js';
import { serverFaults } from './faults/server.js';

meetEachOperation([...connectionFaults, ...serverFaults, ...poolFaults]);
