// As for the integration tests, and one seed for all workers: what is drawn from it can be drawn again.
import setUp from '../support/global-setup.mjs';

export default async function setUpWithSeed() {
  process.env.FAULT_SEED ||= String(Math.floor(Math.random() * 2 ** 31));
  console.log(`\nFAULT_SEED=${process.env.FAULT_SEED}`);
  await setUp();
}
