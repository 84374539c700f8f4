import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { QueryRunner } from 'typeorm';
import {
  combineSenders,
  generateSessionKeys,
  type IdentityEvent,
  type NestAuthModuleOptions,
  type Notification,
  NestAuthModule,
  OnIdentityEvent,
  RoleGuardEnum,
  type RotateSecretsResult,
  SecretRotationService,
} from '../../../src/index.js';
import { smtpSender } from '../../../src/nodemailer/index.js';
import {
  codeOf,
  type OneTimePurpose,
  readCode,
  readToken,
  tokenOf,
} from '../../../src/secret/one-time-secret.policy.js';
import { SecretSettings } from '../../../src/secret/secret.settings.js';
import { openTelemetry } from '../../../src/telemetry/index.js';
import { TransactionHost } from '../../../src/transaction/transaction-host.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase } from '../../support/database.js';
import { type MailServer, startMailServer } from '../../support/mail-server.js';
import { freshEmail, freshPhone, type NestApp, seed, startNestApp } from '../../support/nest-app.js';
import { CHEAP } from '../session/fixture.js';
import { makeRecorder, type Recorder } from '../telemetry/fixture.js';
import { Canaries, type SecretKind } from './canaries.js';
import { Witness } from './everything.js';

/** How the mail server and the sender of short messages answer: they quote what they refuse, as some do. */
type PostMood = 'takes' | 'cannot now' | 'refuses';

const ANSWERS = { 'cannot now': 451, refuses: 550 } as const;
const KEY = { id: 'k1', secret: `canary-of-the-application-${randomUUID()}` };
const FAST = { pollMs: 20, leaseMs: 600 };

/** An application with everything on that could write something down, and with every secret of it known. */
export interface Stage {
  readonly app: NestApp;
  readonly url: string;
  readonly canaries: Canaries;
  readonly witness: Witness;
  readonly recorder: Recorder;
  readonly mails: MailServer;
  /** Short messages that the sender was asked to send. */
  readonly messages: Notification[];
  readonly tenantId: string;
  /** Demands a second factor. */
  readonly strictTenantId: string;
  /** Has the permission `canary.read`. */
  readonly roleId: string;
  mood: PostMood;
  /** Runs `fn` with its statement number `at` failing in the server; answers whether there was such a statement. */
  failingAt(at: number, fn: () => Promise<unknown>): Promise<boolean>;
  close(): Promise<void>;
}

/** Hears of everything that the log says. */
class Listener {
  constructor(private readonly witness: Witness) {}

  @OnIdentityEvent('*', { subscriber: 'canary-listener', startFrom: 'beginning' })
  async onEvent(event: IdentityEvent): Promise<void> {
    this.witness.note('durable event', event);
  }
}

export async function openStage(): Promise<Stage> {
  const { url, drop } = await createTestDatabase();
  const canaries = new Canaries();
  const witness = new Witness();
  const recorder = makeRecorder();
  const messages: Notification[] = [];
  const stage = { mood: 'takes' as PostMood, url, canaries, witness, recorder, messages };
  const mails = await startMailServer({
    onMail: ({ mail }) => {
      const { mood } = stage;
      return mood === 'takes' ? undefined : { code: ANSWERS[mood], text: `not for us: ${onOneLine(mail.text)}` };
    },
  });
  const sms = {
    async send(notification: Notification) {
      messages.push(notification);
      // The worst that a sender of the host can throw.
      if (stage.mood !== 'takes')
        throw Object.assign(new Error(`refused ${JSON.stringify(notification)}`), { request: notification });
    },
  };
  const keys = generateSessionKeys();
  canaries.add('key of the application', KEY.secret);
  for (const { d } of keys) if (d !== undefined) canaries.add('key of the application', d);
  const auth = optionsOf({
    session: { keys },
    telemetry: openTelemetry(recorder.options),
    delivery: {
      sender: combineSenders({ email: smtpSender({ url: mails.url, from: 'portal@example.com' }), sms }),
      links: LINKS,
      maxAttempts: 2,
      backoffMs: 1,
    },
  });
  const app = await startNestApp(url, {
    imports: [NestAuthModule.forRoot(auth)],
    providers: [{ provide: Listener, useFactory: () => new Listener(witness) }],
    dataSource: { logging: true, logger: witness.queryLogger },
  });
  witness.listen();
  rememberDerived(witness, canaries);
  return Object.assign(stage, {
    app,
    mails,
    ...(await furnish(app)),
    failingAt: failuresOf(app.context.get(TransactionHost)),
    close: async () => {
      await app.close();
      await mails.close();
      await drop();
    },
  });
}

async function furnish(app: NestApp): Promise<Pick<Stage, 'tenantId' | 'strictTenantId' | 'roleId'>> {
  const { tenantId, otherTenantId: strictTenantId } = await seed(app);
  await app.tenants.updateTenant(strictTenantId, { secondFactorPolicy: 'required' });
  await app.permissions.createPermissions([{ name: 'canary.read', guard: RoleGuardEnum.PORTAL }]);
  const role = { name: 'canary', guard: RoleGuardEnum.PORTAL, isSystem: true, permissions: ['canary.read'] };
  const { id: roleId } = await app.roles.createRole(role);
  return { tenantId, strictTenantId, roleId };
}

/** Encrypts everything by a newer key, in a process of the next version, say. The application of before cannot read it. */
export async function rotate({ url, canaries, witness }: Stage): Promise<RotateSecretsResult> {
  const secret = canaries.add('key of the application', `canary-of-the-next-key-${randomUUID()}`);
  const keys = { session: { keys: generateSessionKeys() }, secrets: { keys: [{ id: 'k2', secret }, KEY] } };
  const app = await startNestApp(url, {
    imports: [NestAuthModule.forRoot(optionsOf({ ...keys, subscribers: { enabled: false } }))],
    dataSource: { logging: true, logger: witness.queryLogger },
  });
  // An application of the tests begins with a silent log.
  witness.listen();
  try {
    return await app.context.get(SecretRotationService).rotateSecrets();
  } finally {
    await app.close();
  }
}

const LINKS = {
  invitation: 'https://app.example.com/join#{token}',
  emailVerification: 'https://app.example.com/verify#{token}',
  emailChange: 'https://app.example.com/change#{token}',
  passwordReset: 'https://app.example.com/reset#{token}',
};

function optionsOf(options: NestAuthModuleOptions): NestAuthModuleOptions {
  return {
    secrets: { keys: [KEY] },
    password: CHEAP,
    apiKeys: {},
    twoFactor: { methods: ['totp', 'email', 'sms'] },
    // Every refusal and every failure is a line.
    log: { refusals: 'warn' },
    subscribers: FAST,
    statements: { prepared: PREPARED },
    rateLimits: { store: 'postgres', actions: Object.fromEntries(LIMITED.map((action) => [action, PLENTY])) },
    ...options,
  };
}

const LIMITED = ['signIn', 'signUp', 'refresh', 'passwordReset', 'verification', 'invitation', 'secondFactor'];
const PLENTY = { perKey: { points: 100_000, seconds: 60 }, perUser: { points: 100_000, seconds: 60 } };

function onOneLine(text = ''): string {
  return text.replaceAll(/\s+/g, ' ');
}

const KINDS: Readonly<Record<OneTimePurpose, SecretKind>> = {
  email_verification: 'email verification token',
  phone_verification: 'sent code',
  email_change: 'email change token',
  phone_change: 'sent code',
  password_reset: 'password reset token',
  invitation: 'invitation token',
  second_factor_code: 'sent code',
};

/**
 * Tokens and codes of calls that failed are told to nobody. They are made again from the salts that were sent to the
 * database, as a sender would, and recognised by the hash that was sent with them.
 */
function rememberDerived({ queryLogger }: Witness, canaries: Canaries): void {
  const { logQuery } = queryLogger;
  queryLogger.logQuery = (query, parameters) => {
    for (const [kind, value] of derivedFrom(Array.isArray(parameters) ? parameters : [])) canaries.add(kind, value);
    logQuery(query, parameters);
  };
}

const SECRETS = new SecretSettings({ keys: [KEY] });

function derivedFrom(parameters: readonly unknown[]): [kind: SecretKind, value: string][] {
  const buffers = parameters.filter((value): value is Buffer => Buffer.isBuffer(value));
  const holders = parameters.filter((value): value is string => typeof value === 'string' && UUID.test(value));
  const isSent = (hash: Buffer | undefined): boolean => hash !== undefined && buffers.some((one) => one.equals(hash));
  const tried = Object.entries(KINDS).flatMap(([purpose, kind]) =>
    holders.flatMap((holder) => buffers.map((salt) => ({ purpose: purpose as OneTimePurpose, kind, holder, salt }))),
  );
  return tried.flatMap(({ purpose, kind, holder, salt }) => {
    const token = tokenOf(SECRETS, purpose, holder, { keyId: KEY.id, salt }) ?? '';
    const code = codeOf(SECRETS, purpose, holder, { keyId: KEY.id, salt }) ?? '';
    const [codeHash] = readCode(SECRETS, purpose, holder, code);
    const found: [SecretKind, string][] = [];
    if (isSent(readToken(token)?.hash)) found.push([kind, token]);
    if (isSent(codeHash)) found.push(['sent code', code]);
    return found;
  });
}

const UUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/;

interface Run {
  readonly at: number;
  count: number;
}

/** Breaks the text and keeps the parameters: what TypeORM throws then holds all of them. */
function failuresOf(host: TransactionHost): Stage['failingAt'] {
  const running = new AsyncLocalStorage<Run>();
  const openRunner = host.openRunner.bind(host);
  host.openRunner = (mode) => {
    const runner: QueryRunner = openRunner(mode);
    const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<never>;
    runner.query = (sql: string, ...rest: unknown[]): Promise<never> => {
      const run = running.getStore();
      if (run === undefined) return query(sql, ...rest);
      run.count += 1;
      return query(run.count === run.at ? `made to fail: ${sql}` : sql, ...rest);
    };
    return runner;
  };
  return async (at, fn) => {
    const run: Run = { at, count: 0 };
    await running.run(run, fn);
    return run.count >= at;
  };
}

/** Somebody with a password, and with an email and a phone number that are proven. */
export async function person(stage: Stage, tenantId = stage.tenantId) {
  const { app, canaries, roleId } = stage;
  const password = newPassword(stage);
  const [email, phone] = [freshEmail(), freshPhone()];
  const user = await app.users.createUser({ email, phone, password, roleIds: [roleId] }, tenantId);
  await app.users.verifyUser(user.id, 'email');
  await app.users.verifyUser(user.id, 'phone');
  return { id: user.id, email, phone, password: canaries.add('password', password) };
}

export function newPassword({ canaries }: Stage): string {
  return canaries.add('password', `canary ${randomUUID()} of the mine`);
}

/** A wrong value that looks like a right one; it is what somebody has typed, so it is nobody's business either. */
export function mistyped({ canaries }: Stage, value: string): string {
  // Not the last character of a long one: in Base64 some of its bits may mean nothing.
  const at = value.length > 40 ? value.length - 10 : value.length - 1;
  const wrong = `${value.slice(0, at)}${value[at] === '7' ? '8' : '7'}${value.slice(at + 1)}`;
  return canaries.add('mistyped', wrong);
}
