export { CapturingSender, type WaitForOptions } from './capturing.sender.js';
export {
  type AtomicReplay,
  type AtomicReport,
  AtomicityError,
  expectAtomic,
  type ExpectAtomicOptions,
  type FailureMode,
} from './expect-atomic.js';
export { expectTenantIsolation, type ExpectTenantIsolationOptions } from './expect-tenant-isolation.js';
export { IsolationError, type IsolationLeak, type IsolationReport } from './isolation.report.js';
export { EmbeddedPostgresError, type EmbeddedPostgresErrorCode } from './server.error.js';
export { startPostgres, type PostgresServer, type StartPostgresOptions, type StopMode } from './server.js';
export { startTestDatabase, type TestDatabase, type TestDatabaseOptions } from './test-database.js';
